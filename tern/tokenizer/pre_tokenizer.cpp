// The published pre-tokenizer patterns as scanners.
#include "tern/tokenizer/pre_tokenizer.h"

#include <cstddef>

#include "tern/base/utf8.h"
#include "tern/tokenizer/unicode.h"

namespace tern::tokenizer {
namespace {

using Words = std::vector<std::string_view>;

// A character with what the patterns ask of it; of size 0 at the end of the text.
struct Char {
  std::uint32_t code_point = 0;
  std::size_t size = 0;
  CharClass kind = CharClass::kOther;

  bool is(CharClass k) const { return size != 0 && kind == k; }
  bool is_newline() const { return size != 0 && (code_point == '\n' || code_point == '\r'); }
};

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  Char at(std::size_t i) const {
    if (i >= text_.size()) return {};
    const Utf8Char c = next_char(text_, i);
    if (!c.valid) return {c.code_point, c.size, CharClass::kOther};
    return {c.code_point, c.size, char_class(c.code_point)};
  }

  // The end of the run of `kind` that begins at i; at most `limit` characters.
  std::size_t run(std::size_t i, CharClass kind, std::size_t limit = SIZE_MAX) const {
    for (; limit > 0; --limit) {
      const Char c = at(i);
      if (!c.is(kind)) break;
      i += c.size;
    }
    return i;
  }

  std::size_t newlines(std::size_t i) const {
    while (at(i).is_newline()) ++i;
    return i;
  }

  std::size_t size() const { return text_.size(); }
  std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

// The end of 's 't 're 've 'm 'll 'd at i, or i. Without case, the long s (U+017F) is an s, as in
// the case folding of the engines that the patterns were written for.
std::size_t contraction(const Scanner& s, std::size_t i, bool any_case) {
  if (s.at(i).code_point != '\'') return i;
  const auto letter = [&](const Char& c) -> std::uint32_t {
    if (c.size == 0) return 0;
    if (!any_case) return c.code_point;
    if (c.code_point == 0x17F) return 's';
    return c.code_point >= 'A' && c.code_point <= 'Z' ? c.code_point + 32 : c.code_point;
  };
  const Char first = s.at(i + 1);
  const std::size_t after = i + 1 + first.size;
  const std::uint32_t a = letter(first);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return after;
  const Char second = s.at(after);
  const std::uint32_t b = letter(second);
  const bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
  return two ? after + second.size : i;
}

// The end of a match at i, which is a blank, of  [\s*[\r\n]+ |] \s+(?!\S) | \s+ .
std::size_t blanks(const Scanner& s, std::size_t i, bool newlines_apart) {
  std::size_t end = i, last = i, after_newline = i;
  for (Char c = s.at(i); c.is(CharClass::kSpace); c = s.at(end)) {
    last = end;
    end += c.size;
    if (c.is_newline()) after_newline = end;
  }
  if (newlines_apart && after_newline > i) return after_newline;
  // The last blank before a word is left for it, unless it is the only one.
  return end == s.size() || last == i ? end : last;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}|
//  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
std::size_t llama3_word(const Scanner& s, std::size_t i, std::size_t digits) {
  if (const std::size_t end = contraction(s, i, true); end > i) return end;
  const Char c = s.at(i);
  if (c.kind == CharClass::kLetter) return s.run(i, CharClass::kLetter);
  if (c.kind == CharClass::kNumber) return s.run(i, CharClass::kNumber, digits);
  const Char next = s.at(i + c.size);
  if (!c.is_newline() && next.is(CharClass::kLetter)) return s.run(i + c.size, CharClass::kLetter);
  if (c.kind == CharClass::kOther || (c.code_point == ' ' && next.is(CharClass::kOther))) {
    return s.newlines(s.run(i + c.size, CharClass::kOther));
  }
  return blanks(s, i, true);
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::size_t gpt2_word(const Scanner& s, std::size_t i) {
  if (const std::size_t end = contraction(s, i, false); end > i) return end;
  const Char c = s.at(i);
  if (c.kind != CharClass::kSpace) return s.run(i, c.kind);
  const Char next = s.at(i + c.size);
  if (c.code_point == ' ' && next.size != 0 && next.kind != CharClass::kSpace) {
    return s.run(i + c.size, next.kind);
  }
  return blanks(s, i, false);
}

template <typename Word>
void scan(std::string_view text, Words& words, Word&& word) {
  const Scanner s(text);
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = word(s, i);
    words.push_back(text.substr(i, end - i));
    i = end;
  }
}

// Cuts each word again: the runs of characters for which `inside` holds, and what is between them.
template <typename Inside>
Words isolate_runs(const Words& words, Inside&& inside) {
  Words out;
  for (const std::string_view word : words) {
    scan(word, out, [&](const Scanner& s, std::size_t i) {
      const bool wanted = inside(s.at(i));
      while (i < s.size() && inside(s.at(i)) == wanted) i += s.at(i).size;
      return i;
    });
  }
  return out;
}

// Cuts each word again: every three ASCII digits in a row, and what is between them.
Words isolate_three_digits(const Words& words) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  Words out;
  for (const std::string_view word : words) {
    std::size_t from = 0;
    for (std::size_t i = 0; i + 3 <= word.size();) {
      if (!digit(word[i]) || !digit(word[i + 1]) || !digit(word[i + 2])) {
        ++i;
        continue;
      }
      if (i > from) out.push_back(word.substr(from, i - from));
      out.push_back(word.substr(i, 3));
      from = i += 3;
    }
    if (from < word.size()) out.push_back(word.substr(from));
  }
  return out;
}

// [\p{P}\$\+<=>\^~\|]+ (Falcon: the backtick too), then GPT-2's words, then digits.
Words punctuation_first(std::string_view text, bool falcon) {
  const std::string_view symbols = falcon ? "$+<=>^~|`" : "$+<=>^~|";
  Words parts = isolate_runs({text}, [&](const Char& c) {
    if (c.code_point < 0x80 && symbols.find(static_cast<char>(c.code_point)) != symbols.npos) {
      return true;
    }
    return is_punctuation(c.code_point);
  });
  Words words;
  for (const std::string_view part : parts) scan(part, words, gpt2_word);
  if (!falcon) {
    words = isolate_runs(words, [](const Char& c) { return c.kind == CharClass::kNumber; });
  }
  return isolate_three_digits(words);
}

}  // namespace

Words split_words(PreTokenizer pre, std::string_view text) {
  Words words;
  if (text.empty()) return words;
  switch (pre) {
    case PreTokenizer::kNone:
      words.push_back(text);
      break;
    case PreTokenizer::kGpt2:
      scan(text, words, gpt2_word);
      break;
    case PreTokenizer::kLlama3:
    case PreTokenizer::kFalcon3:
      scan(text, words, [](const Scanner& s, std::size_t i) { return llama3_word(s, i, 3); });
      break;
    case PreTokenizer::kQwen2:
      scan(text, words, [](const Scanner& s, std::size_t i) { return llama3_word(s, i, 1); });
      break;
    case PreTokenizer::kDefault:
      words = punctuation_first(text, false);
      break;
    case PreTokenizer::kFalcon:
      words = punctuation_first(text, true);
      break;
  }
  return words;
}

}  // namespace tern::tokenizer
