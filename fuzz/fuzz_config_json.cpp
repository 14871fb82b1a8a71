// config.json: any bytes become a valid ModelConfig or a tern::Error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/checkpoint/hf_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const tern::Json json = tern::parse_json(text, "config.json");
    const tern::checkpoint::HfConfig config = tern::checkpoint::read_hf_config(json, "config.json");
    tern::arch::validate(config.model, "config.json");
    // What was accepted has shapes whose products fit: no size is 0, none overflows.
    for (const auto& spec : tern::arch::architecture(config.model.arch).tensors) {
      std::uint64_t elements = 1;
      for (const std::uint64_t n : tern::arch::tensor_shape(spec.shape, config.model)) {
        if (__builtin_mul_overflow(elements, n, &elements)) std::abort();
      }
      if (elements == 0) std::abort();
    }
    tern::checkpoint::is_not_converted(config.not_converted, "model.layers.0.mlp.up_proj.weight");
  } catch (const tern::Error&) {
  }
  return 0;
}
