// Text <-> ids.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/tokenizer/tokenizer_data.h"

namespace tern::tokenizer {

// Const after construction and then shared by threads.
class Tokenizer {
 public:
  // Throws Error(kCorruptFile / kUnsupported) where the data contradict themselves: a merge whose
  // result is no piece, an id or a piece twice, a special id outside the vocabulary, a printable
  // ASCII byte without a piece.
  explicit Tokenizer(TokenizerData data);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // Ids of a text, without BOS or EOS. With `parse_special`, special tokens spelt
  // out in the text ("<|eot_id|>") become their ids; else only added tokens that are not special
  // do. Invalid UTF-8 is encoded by its bytes. Time is linear in the text but for a logarithm.
  // Throws Error(kLimit) for a text longer than 2^29 bytes, Error(kUnsupported) for a byte that the
  // vocabulary has no piece for (Falcon's lacks a few control characters).
  std::vector<std::uint32_t> encode(std::string_view text, bool parse_special = true) const;

  // The same with BOS in front, if the vocabulary has one.
  std::vector<std::uint32_t> encode_with_bos(std::string_view text,
                                             bool parse_special = true) const;

  // Ids of a text that goes on from ids which exist already: no blank is put in front of it, except
  // behind an added token (the last of `before`) where the files want one there.
  std::vector<std::uint32_t> encode_continued(std::span<const std::uint32_t> before,
                                              std::string_view text,
                                              bool parse_special = true) const;

  // Bytes of one id as it stands in a text: "" for control tokens and UNK unless `special`. An SPM
  // piece keeps its leading blank. Throws Error(kLimit) for an id outside the vocabulary.
  std::string piece(std::uint32_t id, bool special = false) const;

  // A whole text: pieces joined, the blank that add_space_prefix put in front taken off again.
  std::string decode(std::span<const std::uint32_t> ids, bool special = false) const;

  const TokenizerData& data() const noexcept;
  std::size_t vocab_size() const noexcept;
  std::optional<std::uint32_t> id_of(std::string_view piece) const;  // Spelt as in data().pieces.
  bool is_end(std::uint32_t id) const noexcept;  // Ends a text: one of data().end_ids.

 private:
  struct Impl;
  std::unique_ptr<const Impl> impl_;
};

// Text of a growing list of ids, in pieces that never split a UTF-8 character: bytes of an
// unfinished character are held back until it is complete, or shown to be invalid (then U+FFFD
// stands for each maximal broken part, as WHATWG decodes).
class StreamDecoder {
 public:
  // `skip_first_space`: the stream begins a text, so that the blank of add_space_prefix is dropped.
  StreamDecoder(const Tokenizer& tokenizer, bool skip_first_space);
  // An id outside the vocabulary has no text: embeddings are padded, and a padding row can be
  // drawn.
  std::string push(std::uint32_t id);
  std::string finish();  // What was held back, as U+FFFD.

 private:
  const Tokenizer* tokenizer_;
  bool at_start_;
  std::string held_;
};

}  // namespace tern::tokenizer
