// Any bytes as a text, for every kind of tokenizer: ids that decode to the same bytes.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/utf8.h"
#include "tern/tokenizer/byte_alphabet.h"
#include "tern/tokenizer/tokenizer.h"
#include "tern/tokenizer/unicode.h"

namespace {

using namespace tern;
using namespace tern::tokenizer;

// Control tokens that are spelt out in a text, and a user-defined one.
void add_tokens(TokenizerData& data) {
  for (const char* content : {"<s>", "<|end|>", "<t>"}) {
    AddedToken token;
    token.id = static_cast<std::uint32_t>(data.pieces.size());
    token.content = content;
    token.special = content[1] != 't';
    data.pieces.emplace_back(content);
    data.types.push_back(token.special ? TokenType::kControl : TokenType::kUserDefined);
    if (data.kind == TokenizerKind::kSpmBpe) data.scores.push_back(0);
    data.added.push_back(std::move(token));
  }
}

TokenizerData byte_level(PreTokenizer pre) {
  TokenizerData data;
  data.pre = pre;
  for (int byte = 0; byte < 256; ++byte) {
    data.pieces.push_back(to_printable(std::string(1, static_cast<char>(byte))));
  }
  for (const auto& [left, right] : {std::pair{" ", "t"},
                                    {"h", "e"},
                                    {" t", "he"},
                                    {"\r", "\n"},
                                    {"\xE3", "\x81"},
                                    {" ", " "},
                                    {"1", "2"}}) {
    data.merges.emplace_back(to_printable(left), to_printable(right));
    data.pieces.push_back(data.merges.back().first + data.merges.back().second);
  }
  data.types.assign(data.pieces.size(), TokenType::kNormal);
  add_tokens(data);
  return data;
}

TokenizerData sentence_piece() {
  TokenizerData data;
  data.kind = TokenizerKind::kSpmBpe;
  data.byte_fallback = data.add_space_prefix = true;
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    data.pieces.push_back(std::string("<0x") + kHex[byte / 16] + kHex[byte % 16] + ">");
  }
  data.types.assign(data.pieces.size(), TokenType::kByte);
  const std::string blank = "\xE2\x96\x81";
  for (const std::string& piece : {blank, blank + "t", std::string("he"), blank + "the",
                                   blank + blank, std::string("h"), std::string("\xE3\x81\x82")}) {
    data.pieces.push_back(piece);
    data.types.push_back(TokenType::kNormal);
  }
  for (std::size_t i = 0; i < data.pieces.size(); ++i) {
    data.scores.push_back(-static_cast<float>(i % 5));
  }
  add_tokens(data);
  return data;
}

const std::vector<Tokenizer>& tokenizers() {
  static const std::vector<Tokenizer> all = [] {
    std::vector<Tokenizer> out;
    for (const PreTokenizer pre :
         {PreTokenizer::kNone, PreTokenizer::kDefault, PreTokenizer::kGpt2, PreTokenizer::kLlama3,
          PreTokenizer::kQwen2, PreTokenizer::kFalcon}) {
      out.emplace_back(byte_level(pre));
    }
    out.emplace_back(sentence_piece());
    return out;
  }();
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Tokenizer& tokenizer : tokenizers()) {
    const bool spm = tokenizer.data().kind == TokenizerKind::kSpmBpe;
    // U+2581 in a text is a blank to SentencePiece, so that it does not come back.
    if (spm && text.find("\xE2\x96\x81") != text.npos) continue;
    // No control token may come out of a text unless it is asked for.
    const auto ids = tokenizer.encode(text, false);
    const std::string back = tokenizer.decode(ids);
    const bool tokens_inside = text.find("<t>") != text.npos;  // A blank is put after those.
    if (back != text && !(spm && tokens_inside)) __builtin_trap();
    StreamDecoder stream(tokenizer, true);
    std::string streamed;
    for (const std::uint32_t id : ids) {
      const std::string part = stream.push(id);
      if (valid_utf8(part) != part) __builtin_trap();
      streamed += part;
    }
    if (streamed + stream.finish() != valid_utf8(back)) __builtin_trap();
    tokenizer.decode(tokenizer.encode(text, true), true);
  }
  const std::string nfc = to_nfc(text);
  if (to_nfc(nfc) != nfc) __builtin_trap();
  return 0;
}
