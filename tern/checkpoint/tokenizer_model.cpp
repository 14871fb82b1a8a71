// SentencePiece's protobuf and tiktoken's ranks.
#include "tern/checkpoint/tokenizer_model.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "tern/base/error.h"
#include "tern/tokenizer/byte_alphabet.h"

namespace tern::checkpoint {
namespace {

using tokenizer::AddedToken;
using tokenizer::PreTokenizer;
using tokenizer::TokenizerData;
using tokenizer::TokenizerKind;
using tokenizer::TokenType;

[[noreturn]] void corrupt(std::string_view name, const std::string& what) {
  throw Error(ErrorCode::kCorruptFile, std::string(name) + ": " + what);
}

// The fields of one protobuf message, one after the other. Wire types: 0 varint, 1 eight bytes,
// 2 length and bytes, 5 four bytes.
class Message {
 public:
  Message(std::string_view bytes, std::string_view name) : rest_(bytes), name_(name) {}

  // Steps to the next field; false at the end.
  bool next() {
    if (rest_.empty()) return false;
    const std::uint64_t key = varint();
    field_ = key >> 3;
    wire_ = static_cast<unsigned>(key & 7);
    number_ = 0;
    data_ = {};
    if (field_ == 0) corrupt(name_, "a protobuf field has number 0");
    switch (wire_) {
      case 0:
        number_ = varint();
        break;
      case 1:
        data_ = take(8);
        break;
      case 2:
        data_ = take(varint());
        break;
      case 5:
        data_ = take(4);
        break;
      default:
        corrupt(name_, "protobuf wire type " + std::to_string(wire_) + " is unknown");
    }
    return true;
  }

  std::uint64_t field() const { return field_; }
  std::uint64_t number() const { return expect(0), number_; }
  bool flag() const { return number() != 0; }
  std::string_view data() const { return expect(2), data_; }
  float real() const {
    expect(5);
    std::uint32_t bits = 0;
    for (std::size_t i = 4; i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(data_[i]);
    return std::bit_cast<float>(bits);
  }

 private:
  void expect(unsigned wire) const {
    if (wire_ == wire) return;
    corrupt(name_, "protobuf field " + std::to_string(field_) + " has wire type " +
                       std::to_string(wire_) + ", expected " + std::to_string(wire));
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) corrupt(name_, "the file ends inside a protobuf number");
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    corrupt(name_, "a protobuf number has more than ten bytes");
  }

  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) {
      corrupt(name_, "a protobuf field of " + std::to_string(size) + " bytes has only " +
                         std::to_string(rest_.size()) + " left in the file");
    }
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }

  std::string_view rest_, name_, data_;
  std::uint64_t field_ = 0, number_ = 0;
  unsigned wire_ = 0;
};

// Field numbers are those of sentencepiece_model.proto.
class SentencePiece {
 public:
  explicit SentencePiece(std::string_view name) : name_(name) {}

  TokenizerData read(std::string_view bytes) {
    data_.kind = TokenizerKind::kSpmBpe;
    data_.add_space_prefix = data_.remove_extra_whitespaces = true;  // The format's defaults.
    for (Message model(bytes, name_); model.next();) {
      if (model.field() == 1) read_piece(model.data());
      if (model.field() == 2) read_trainer(model.data());
      if (model.field() == 3) read_normalizer(model.data());
    }
    if (data_.pieces.empty()) corrupt(name_, "the SentencePiece model has no pieces");
    if (model_type_ != 2) {
      constexpr std::string_view kNames[] = {"unknown", "unigram", "BPE", "word", "char"};
      throw Error(ErrorCode::kUnsupported,
                  std::string(name_) + ": the SentencePiece model is of type " +
                      std::string(kNames[model_type_ < 5 ? model_type_ : 0]) + ", tern reads BPE");
    }
    find_roles();
    return std::move(data_);
  }

 private:
  void read_piece(std::string_view bytes) {
    std::string piece;
    float score = 0;
    std::uint64_t type = 1;
    for (Message message(bytes, name_); message.next();) {
      if (message.field() == 1) piece = message.data();
      if (message.field() == 2) score = message.real();
      if (message.field() == 3) type = message.number();
    }
    constexpr std::array kTypes{TokenType::kNormal,      TokenType::kUnknown, TokenType::kControl,
                                TokenType::kUserDefined, TokenType::kUnused,  TokenType::kByte};
    if (type < 1 || type > kTypes.size()) {
      corrupt(name_,
              "piece '" + piece + "' has type " + std::to_string(type) + ", expected 1 to 6");
    }
    data_.pieces.push_back(std::move(piece));
    data_.scores.push_back(score);
    data_.types.push_back(kTypes[type - 1]);
  }

  void read_trainer(std::string_view bytes) {
    for (Message message(bytes, name_); message.next();) {
      switch (message.field()) {
        case 3:
          model_type_ = message.number();
          break;
        case 24:
          if (message.flag()) unsupported("treat_whitespace_as_suffix");
          break;
        case 35:
          data_.byte_fallback = message.flag();
          break;
        case 41:
          bos_ = message.number();
          break;
        case 42:
          eos_ = message.number();
          break;
        case 43:
          pad_ = message.number();
          break;
        default:
          break;
      }
    }
  }

  void read_normalizer(std::string_view bytes) {
    std::string rule;
    bool has_map = false;
    for (Message message(bytes, name_); message.next();) {
      switch (message.field()) {
        case 1:
          rule = message.data();
          break;
        case 2:
          has_map = !message.data().empty();
          break;
        case 3:
          data_.add_space_prefix = message.flag();
          break;
        case 4:
          data_.remove_extra_whitespaces = message.flag();
          break;
        case 5:
          if (!message.flag()) unsupported("escape_whitespaces = false");
          break;
        default:
          break;
      }
    }
    if (has_map) unsupported("normaliser '" + rule + "'");
  }

  [[noreturn]] void unsupported(const std::string& what) const {
    throw Error(ErrorCode::kUnsupported, std::string(name_) + ": the SentencePiece model has " +
                                             what + ", which tern does not know");
  }

  void find_roles() {
    const auto role = [&](std::uint64_t id) -> std::optional<std::uint32_t> {
      // -1 means none; an id whose piece is no control token is the trainer's, not the model's.
      if (id >= data_.pieces.size() || data_.types[id] != TokenType::kControl) return std::nullopt;
      return static_cast<std::uint32_t>(id);
    };
    data_.bos = role(bos_);
    data_.eos = role(eos_);
    data_.pad = role(pad_);
    data_.add_bos = data_.bos.has_value();
    for (std::uint32_t id = 0; id < data_.pieces.size(); ++id) {
      if (data_.types[id] == TokenType::kUnknown) data_.unk = id;
      if (data_.types[id] == TokenType::kByte) data_.byte_fallback = true;
    }
    add_spm_tokens(data_);
  }

  std::string_view name_;
  TokenizerData data_;
  std::uint64_t model_type_ = 1;  // Unigram, the format's default.
  std::uint64_t bos_ = 1, eos_ = 2, pad_ = UINT64_MAX;
};

std::optional<std::string> decode_base64(std::string_view text) {
  const auto value = [](char c) -> int {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
  };
  if (text.size() % 4 != 0 || text.empty()) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  text.remove_suffix(padding);
  std::string bytes;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const int v = value(c);
    if (v < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(v);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>((bits >> held) & 0xFF);
  }
  return bytes;
}

// Llama 3's special tokens in the order of their ids, after the ranks: the reserved ones are
// numbered in the order in which they stand between the named ones.
std::vector<std::string> llama3_specials() {
  std::vector<std::string> names(256);
  names[0] = "<|begin_of_text|>";
  names[1] = "<|end_of_text|>";
  names[6] = "<|start_header_id|>";
  names[7] = "<|end_header_id|>";
  names[9] = "<|eot_id|>";
  std::size_t reserved = 0;
  for (std::string& name : names) {
    if (name.empty()) name = "<|reserved_special_token_" + std::to_string(reserved++) + "|>";
  }
  return names;
}

struct RankLine {
  std::string bytes;
  std::uint32_t rank = 0;
};

// One line of a rank file; nullopt where it is none.
std::optional<RankLine> rank_line(std::string_view line) {
  const std::size_t blank = line.find(' ');
  if (blank == line.npos) return std::nullopt;
  auto bytes = decode_base64(line.substr(0, blank));
  if (!bytes || bytes->empty()) return std::nullopt;
  RankLine out;
  const auto [end, error] =
      std::from_chars(line.data() + blank + 1, line.data() + line.size(), out.rank);
  if (error != std::errc() || end != line.data() + line.size()) return std::nullopt;
  out.bytes = std::move(*bytes);
  return out;
}

// The next line of `text`, taken off it.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

TokenizerData read_ranks(std::string_view text, const TokenizerSidecars& beside,
                         std::string_view name, const Notice& notice) {
  TokenizerData data;
  data.kind = TokenizerKind::kByteBpe;
  data.pre = PreTokenizer::kLlama3;
  data.merges_from_ranks = data.ignore_merges = true;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = take_line(text);
    if (line.empty()) continue;
    const auto entry = rank_line(line);
    if (!entry) {
      corrupt(name, "line " + std::to_string(number) + " is no base64 text and rank");
    }
    if (entry->rank != data.pieces.size()) {
      corrupt(name, "line " + std::to_string(number) + " has rank " + std::to_string(entry->rank) +
                        ", expected " + std::to_string(data.pieces.size()));
    }
    data.pieces.push_back(tokenizer::to_printable(entry->bytes));
  }
  data.types.assign(data.pieces.size(), TokenType::kNormal);
  const auto ranks = static_cast<std::uint32_t>(data.pieces.size());
  if (ranks != 128000) {
    notify(notice, std::string(name) + ": " + std::to_string(ranks) +
                       " ranks where Llama 3 has 128000; read by Llama 3's rules");
  }
  data.bos = ranks;
  data.eos = ranks + 1;
  data.add_bos = true;
  // Names of a sidecar come first: later releases renamed some of the reserved tokens.
  apply_sidecars(data, beside, name);
  std::uint32_t id = ranks;
  for (const std::string& special : llama3_specials()) {
    if (id >= data.pieces.size() || data.pieces[id].empty()) {
      AddedToken token;
      token.id = id;
      token.content = special;
      token.special = true;
      add_token(data, std::move(token), name);
    }
    ++id;
  }
  add_known_ends(data);
  return data;
}

}  // namespace

TokenizerData read_tokenizer_model(std::span<const std::byte> bytes,
                                   const TokenizerSidecars& beside, std::string_view name,
                                   const Notice& notice) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::string_view rest = text;
  if (!text.empty() && rank_line(take_line(rest))) return read_ranks(text, beside, name, notice);
  if (text.empty() || text[0] != '\n') {  // Field 1, with a length: the first piece.
    corrupt(name, "neither a SentencePiece model nor a list of tiktoken ranks");
  }
  TokenizerData data = SentencePiece(name).read(text);
  apply_sidecars(data, beside, name);
  if (beside.tokenizer_config != nullptr) {  // "legacy": false is the rule of no blank there.
    data.prefix_after_added = json_bool(*beside.tokenizer_config, "legacy", name).value_or(true);
  }
  return data;
}

}  // namespace tern::checkpoint
