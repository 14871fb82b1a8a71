// Any bytes as a GGUF file: read it or refuse it.
#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/base/error.h"
#include "tern/formats/gguf.h"

namespace {

// Reads all that a reader hands out, so that the sanitizers see every byte of it.
unsigned touch(const tern::formats::GgufFile& file) {
  unsigned sum = 0;
  for (const auto& [key, value] : file.metadata()) {
    sum += static_cast<unsigned>(key.size());
    sum += value.as_uint().has_value() + value.as_number().has_value() +
           value.as_bool().has_value() + value.as_string().has_value();
    if (const auto strings = value.as_strings()) {
      for (const auto& text : *strings) sum += static_cast<unsigned>(text.size());
    }
    if (const auto floats = value.as_floats()) sum += static_cast<unsigned>(floats->size());
    if (const auto integers = value.as_integers()) sum += static_cast<unsigned>(integers->size());
  }
  for (const tern::TensorView& tensor : file.tensors()) {
    if (file.tensor(tensor.name) != &tensor) __builtin_trap();
    for (const std::byte byte : tensor.bytes) sum += std::to_integer<unsigned>(byte);
  }
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using tern::formats::I2SLayout;
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const I2SLayout layout : {I2SLayout::kX86, I2SLayout::kArm, I2SLayout::k1x4}) {
    try {
      volatile unsigned sum = touch(tern::formats::GgufFile(bytes, "input", {layout}));
      static_cast<void>(sum);
    } catch (const tern::Error&) {
    }
  }
  return 0;
}
