// BOS as the files say, and never nothing.
#include "tern/tokenizer/prompt_tokens.h"

#include "tern/base/error.h"

namespace tern::tokenizer {
namespace {

std::uint32_t prefix_token(const TokenizerData& data) {
  if (data.bos) return *data.bos;
  if (data.eos) return *data.eos;
  throw Error(ErrorCode::kUnsupported,
              "an empty prompt found and the vocabulary has neither BOS nor EOS to begin with");
}

}  // namespace

std::vector<std::uint32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view text,
                                         bool parse_special) {
  std::vector<std::uint32_t> ids = tokenizer.data().add_bos
                                       ? tokenizer.encode_with_bos(text, parse_special)
                                       : tokenizer.encode(text, parse_special);
  if (ids.empty()) ids.push_back(prefix_token(tokenizer.data()));
  return ids;
}

}  // namespace tern::tokenizer
