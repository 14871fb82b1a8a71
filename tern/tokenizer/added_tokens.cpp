// Leftmost-longest search for a set of strings, by narrowing a sorted list byte by byte.
#include "tern/tokenizer/added_tokens.h"

#include <algorithm>

#include "tern/base/utf8.h"
#include "tern/tokenizer/unicode.h"

namespace tern::tokenizer {
namespace {

// The end of the blanks that begin at `at`.
std::size_t skip_blanks(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const Utf8Char c = next_char(text, at);
    if (!c.valid || char_class(c.code_point) != CharClass::kSpace) break;
    at += c.size;
  }
  return at;
}

// The beginning of the blanks that end at `end`, not before `from`.
std::size_t skip_blanks_back(std::string_view text, std::size_t from, std::size_t end) {
  while (end > from) {
    std::size_t begin = end - 1;  // Of the character that ends there.
    while (begin > from && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    const Utf8Char c = next_char(text, begin);
    if (!c.valid || begin + c.size != end || char_class(c.code_point) != CharClass::kSpace) break;
    end = begin;
  }
  return end;
}

}  // namespace

void AddedTokens::add(const AddedToken& token) {
  if (token.content.empty()) return;
  tokens_.push_back({token.content, token.id, token.special, token.lstrip, token.rstrip});
}

void AddedTokens::finish() {
  std::sort(tokens_.begin(), tokens_.end(), [](const Token& a, const Token& b) {
    return a.content != b.content ? a.content < b.content : a.id < b.id;
  });
  for (const Token& token : tokens_) {
    first_byte_[static_cast<unsigned char>(token.content[0])] = true;
  }
}

const AddedTokens::Token* AddedTokens::longest_at(std::string_view text, std::size_t at,
                                                  bool parse_special) const {
  if (!first_byte_[static_cast<unsigned char>(text[at])]) return nullptr;
  const Token* best = nullptr;
  // [low, high): the tokens whose first `depth` bytes are those of the text.
  auto low = tokens_.begin(), high = tokens_.end();
  for (std::size_t depth = 0; low != high; ++depth) {
    // A content of just `depth` bytes sorts before all longer ones.
    for (; low != high && low->content.size() == depth; ++low) {
      if (parse_special || !low->special) best = &*low;
    }
    if (at + depth == text.size()) break;
    const auto byte = static_cast<unsigned char>(text[at + depth]);
    const auto byte_of = [depth](const Token& t) {
      return static_cast<unsigned char>(t.content[depth]);
    };
    low = std::partition_point(low, high, [&](const Token& t) { return byte_of(t) < byte; });
    high = std::partition_point(low, high, [&](const Token& t) { return byte_of(t) == byte; });
  }
  return best;
}

void AddedTokens::split(std::string_view text, bool parse_special,
                        std::vector<Fragment>& out) const {
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Token* token = longest_at(text, at, parse_special);
    if (token == nullptr) {
      ++at;
      continue;
    }
    const std::size_t end = token->lstrip ? skip_blanks_back(text, from, at) : at;
    if (end > from) out.push_back({text.substr(from, end - from), std::nullopt});
    out.push_back({text.substr(at, token->content.size()), token->id});
    at += token->content.size();
    if (token->rstrip) at = skip_blanks(text, at);
    from = at;
  }
  if (from < text.size()) out.push_back({text.substr(from), std::nullopt});
}

}  // namespace tern::tokenizer
