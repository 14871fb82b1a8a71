// Any bytes as an adapter's two files, the JSON up to the first 0 byte: read them or refuse them.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/checkpoint/lora_adapter.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tern::arch::ModelConfig config;
  config.hidden = 8;
  config.ffn = 10;
  config.layers = 2;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_dim = 4;
  config.vocab = 6;
  const std::span<const std::uint8_t> input(data, size);
  const auto end = std::ranges::find(input, std::uint8_t{0});
  const auto json = input.first(static_cast<std::size_t>(end - input.begin()));
  const auto rest = input.subspan(std::min(size, json.size() + 1));
  try {
    const tern::Json parsed = tern::parse_json(std::as_bytes(json), "input");
    const tern::formats::SafetensorsFile file(std::as_bytes(rest), "input");
    const tern::checkpoint::LoraAdapter adapter(parsed, file, config, "input");
    const tern::checkpoint::LowRank* pair = adapter.find(tern::arch::TensorRole::kQ, 1);
    if (pair == nullptr) return 0;
    if (pair->a.cols != 8 || pair->a.rows != adapter.description().rank) __builtin_trap();
    for (const float value : pair->b.owned.as<float>()) {
      if (!std::isfinite(value)) __builtin_trap();
    }
  } catch (const tern::Error&) {
  }
  return 0;
}
