// Any bytes as a tokenizer.model, SentencePiece's or tiktoken's: a tokenizer or a refusal.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tern/base/error.h"
#include "tern/checkpoint/tokenizer_model.h"
#include "tern/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view kText = "The 12 caf\xC3\xA9s,\r\n  ab </s>\xE6\x97\xA5 <s>\xFF";
  try {
    const tern::tokenizer::Tokenizer tokenizer(tern::checkpoint::read_tokenizer_model(
        std::as_bytes(std::span(data, size)), {}, "input", {}));
    tokenizer.decode(tokenizer.encode(kText), true);
  } catch (const tern::Error&) {
  }
  return 0;
}
