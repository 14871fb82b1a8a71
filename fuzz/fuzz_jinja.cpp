// Any bytes as a chat template, rendered with a small conversation: a text or a refusal.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tern/base/error.h"
#include "tern/jinja/template.h"

namespace {

const tern::jinja::Dict& variables() {
  static const tern::jinja::Value value = tern::jinja::parse_value(
      R"({"messages": [{"role": "system", "content": " Be kind.\n"},
                       {"role": "user", "content": "日本 x <b>'\""},
                       {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "function":
                         {"name": "f", "arguments": {"n": 1, "l": [1.5, true, null, "x"]}}}]},
                       {"role": "tool", "content": "12"}],
          "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
          "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>",
          "n": -3, "f": 0.5, "s": "a b c", "l": [3, 1, 2]})",
      "variables");
  return value.as_dict();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  tern::jinja::RenderOptions options;
  options.limits = {
      .steps = 200'000, .depth = 300, .text_bytes = 1U << 24, .output_bytes = 1U << 20};
  options.now = std::tm{};
  try {
    const tern::jinja::Template chat(source);
    chat.render(variables(), options);
  } catch (const tern::Error&) {
  }
  return 0;
}
