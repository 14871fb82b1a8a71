// Any bytes as a tokenizer.json (and its sidecar, under the key "sidecar"): a tokenizer or a
// refusal.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tern/base/error.h"
#include "tern/checkpoint/tokenizer_json.h"
#include "tern/tokenizer/tokenizer.h"

namespace {

constexpr std::string_view kText =
    "The 12 caf\xC3\xA9s,\r\n  it'S \xE6\x97\xA5\xE6\x9C\xAC <s>\xFF";

void use(tern::tokenizer::TokenizerData data) {
  const tern::tokenizer::Tokenizer tokenizer(std::move(data));
  tokenizer.decode(tokenizer.encode(kText), true);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const tern::Json json = tern::parse_json(text, "input");
    tern::checkpoint::TokenizerSidecars beside;
    if (json.is_object() && json.contains("sidecar")) {
      const tern::Json& sidecar = json["sidecar"];
      beside = {&sidecar, &sidecar, nullptr, &sidecar, nullptr};
    }
    if (json.is_object() && json.contains("pair")) {
      use(read_vocab_and_merges(json["pair"], "a b\n", beside, "input", {}));
    } else {
      use(read_tokenizer_json(json, beside, "input", {}));
    }
  } catch (const tern::Error&) {
  }
  return 0;
}
