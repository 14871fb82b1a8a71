// Text to ids: added tokens, normalisation, words, merges; and ids back to text.
#include "tern/tokenizer/tokenizer.h"

#include <algorithm>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/utf8.h"
#include "tern/tokenizer/added_tokens.h"
#include "tern/tokenizer/merger.h"
#include "tern/tokenizer/pre_tokenizer.h"
#include "tern/tokenizer/unicode.h"
#include "tern/tokenizer/vocabulary.h"

namespace tern::tokenizer {
namespace {

bool is_spm(const TokenizerData& data) { return data.kind != TokenizerKind::kByteBpe; }

// SentencePiece's form of a text: blanks are U+2581.
std::string spm_text(const TokenizerData& data, std::string_view text, bool prefix) {
  std::string out;
  out.reserve(text.size() + text.size() / 4 + kSpmBlank.size());
  if (prefix) out += kSpmBlank;
  bool blank_before = true;  // For remove_extra_whitespaces.
  for (const char c : text) {
    if (c != ' ') {
      out += c;
    } else if (!data.remove_extra_whitespaces || !blank_before) {
      out += kSpmBlank;
    }
    blank_before = c == ' ';
  }
  if (data.remove_extra_whitespaces && blank_before && out.ends_with(kSpmBlank)) {
    out.resize(out.size() - kSpmBlank.size());
  }
  return out;
}

}  // namespace

struct Tokenizer::Impl {
  TokenizerData data;
  Vocabulary vocabulary;
  AddedTokens raw;         // Looked for in the text as given.
  AddedTokens normalized;  // Looked for in the text after NFC.

  explicit Impl(TokenizerData d) : data(std::move(d)), vocabulary(data) {
    for (const AddedToken& token : data.added) {
      (token.normalized && data.nfc ? normalized : raw).add(token);
    }
    raw.finish();
    normalized.finish();
  }

  void encode_text(std::string_view text, bool prefix, Merger& merger,
                   std::vector<std::uint32_t>& ids) const {
    if (is_spm(data)) {
      merger.encode(spm_text(data, text, prefix), ids);
      return;
    }
    for (const std::string_view word : split_words(data.pre, text)) merger.encode(word, ids);
  }

  // `first`: nothing stands before the text; `after_token`: an added token does.
  void encode(std::string_view text, bool parse_special, std::vector<std::uint32_t>& ids,
              bool first = true, bool after_token = false) const {
    if (text.size() > kLongestText) {
      throw Error(ErrorCode::kLimit, "a text of " + std::to_string(text.size()) +
                                         " bytes is too long to encode at once, at most " +
                                         std::to_string(kLongestText));
    }
    Merger merger(vocabulary);
    std::vector<Fragment> fragments, inner;
    raw.split(text, parse_special, fragments);
    const auto put = [&](const Fragment& fragment) {
      if (fragment.id) {
        ids.push_back(*fragment.id);
      } else {
        const bool prefix =
            data.add_space_prefix && (first || (after_token && data.prefix_after_added));
        encode_text(fragment.text, prefix, merger, ids);
      }
      first = false;
      after_token = fragment.id.has_value();
    };
    for (const Fragment& fragment : fragments) {
      if (fragment.id || !data.nfc) {
        put(fragment);
        continue;
      }
      const std::string composed = to_nfc(fragment.text);
      inner.clear();
      normalized.split(composed, parse_special, inner);
      for (const Fragment& part : inner) put(part);
    }
  }

  static constexpr std::size_t kLongestText = std::size_t{1} << 29;
};

Tokenizer::Tokenizer(TokenizerData data) : impl_(std::make_unique<const Impl>(std::move(data))) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<std::uint32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<std::uint32_t> ids;
  impl_->encode(text, parse_special, ids);
  return ids;
}

std::vector<std::uint32_t> Tokenizer::encode_continued(std::span<const std::uint32_t> before,
                                                       std::string_view text,
                                                       bool parse_special) const {
  const auto& added = impl_->data.added;
  const bool after_token =
      !before.empty() && std::any_of(added.begin(), added.end(), [&](const AddedToken& token) {
        return token.id == before.back();
      });
  std::vector<std::uint32_t> ids;
  impl_->encode(text, parse_special, ids, before.empty(), after_token);
  return ids;
}

std::vector<std::uint32_t> Tokenizer::encode_with_bos(std::string_view text,
                                                      bool parse_special) const {
  std::vector<std::uint32_t> ids;
  if (impl_->data.bos) ids.push_back(*impl_->data.bos);
  impl_->encode(text, parse_special, ids);
  return ids;
}

std::string Tokenizer::piece(std::uint32_t id, bool special) const {
  if (id >= vocab_size()) {
    throw Error(ErrorCode::kLimit, "token id " + std::to_string(id) +
                                       " is outside the vocabulary of " +
                                       std::to_string(vocab_size()));
  }
  const TokenType type = impl_->vocabulary.type(id);
  const bool hidden = type == TokenType::kControl || type == TokenType::kUnknown;
  if (hidden && !special) return {};
  return std::string(impl_->vocabulary.bytes(id));
}

std::string Tokenizer::decode(std::span<const std::uint32_t> ids, bool special) const {
  std::string text;
  bool at_start = impl_->data.add_space_prefix;
  for (const std::uint32_t id : ids) {
    const std::string next = piece(id, special);
    if (next.empty()) continue;
    const bool control = impl_->vocabulary.type(id) == TokenType::kControl;
    text.append(next, at_start && !control && next[0] == ' ' ? 1 : 0);
    at_start = false;
  }
  return text;
}

const TokenizerData& Tokenizer::data() const noexcept { return impl_->data; }
std::size_t Tokenizer::vocab_size() const noexcept { return impl_->data.pieces.size(); }

std::optional<std::uint32_t> Tokenizer::id_of(std::string_view piece) const {
  const std::uint32_t id = impl_->vocabulary.find_piece(piece);
  return id == kNoId ? std::nullopt : std::optional(id);
}

bool Tokenizer::is_end(std::uint32_t id) const noexcept {
  return std::find(impl_->data.end_ids.begin(), impl_->data.end_ids.end(), id) !=
         impl_->data.end_ids.end();
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_first_space)
    : tokenizer_(&tokenizer), at_start_(skip_first_space && tokenizer.data().add_space_prefix) {}

std::string StreamDecoder::push(std::uint32_t id) {
  std::string next = id < tokenizer_->vocab_size() ? tokenizer_->piece(id) : std::string();
  if (at_start_ && !next.empty()) {
    if (next[0] == ' ') next.erase(0, 1);
    at_start_ = false;
  }
  held_ += next;
  std::size_t complete = 0;
  while (complete < held_.size()) {
    const Utf8Char c = next_char(held_, complete);
    if (c.cut_off) break;
    complete += c.size;
  }
  const std::string text = valid_utf8(std::string_view(held_).substr(0, complete));
  held_.erase(0, complete);
  return text;
}

std::string StreamDecoder::finish() {
  const std::string text = valid_utf8(held_);
  held_.clear();
  return text;
}

}  // namespace tern::tokenizer
