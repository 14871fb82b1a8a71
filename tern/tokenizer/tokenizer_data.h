// What a tokenizer is made of, free of any file format: checkpoint/ fills it from tokenizer.json,
// tokenizer.model or GGUF metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tern::tokenizer {

enum class TokenizerKind {
  kByteBpe,   // Byte-level BPE: GPT-2's family, Llama 3, Qwen, Falcon; tiktoken's rank files too.
  kSpmBpe,    // SentencePiece BPE with scores and byte fallback: Llama 2, 1bitLLM.
  kMergeSpm,  // The same texts and pieces, given as a list of merges (a tokenizer.json of Llama 2).
};

// How a text is cut before BPE. Names are GGUF's `tokenizer.ggml.pre`.
enum class PreTokenizer { kNone, kDefault, kGpt2, kLlama3, kQwen2, kFalcon, kFalcon3 };

enum class TokenType : std::uint8_t { kNormal, kUnknown, kControl, kUserDefined, kUnused, kByte };

struct AddedToken {
  std::uint32_t id = 0;
  std::string content;
  bool special = false;  // A control token: decoded to nothing by default.
  bool lstrip = false;   // Takes the whitespace on its left with it; rstrip: on its right.
  bool rstrip = false;
  bool normalized = false;  // Looked for after NFC, where the vocabulary has NFC.
};

struct TokenizerData {
  TokenizerKind kind = TokenizerKind::kByteBpe;
  PreTokenizer pre = PreTokenizer::kNone;
  // Text of each id. Byte BPE: in GPT-2's printable alphabet ("Ġhello"), as the files have it.
  // SPM: with U+2581 for a blank, bytes as "<0x0A>".
  std::vector<std::string> pieces;
  std::vector<TokenType> types;  // One per piece.
  std::vector<float> scores;     // One per piece for kSpmBpe; else empty.
  std::vector<std::pair<std::string, std::string>> merges;  // By rank; kByteBpe, kMergeSpm.
  bool merges_from_ranks = false;  // tiktoken: a pair merges if its join is a piece; rank = its id.
  bool ignore_merges = false;      // A pre-token found whole in the vocabulary is that token.
  bool byte_fallback = false;
  bool nfc = false;                // Qwen: text is brought to NFC first.
  bool add_space_prefix = false;   // SPM: a blank in front of the text.
  bool prefix_after_added = true;  // ... and of what follows an added token.
  bool remove_extra_whitespaces = false;
  std::vector<AddedToken> added;
  std::optional<std::uint32_t> bos, eos, unk, pad;
  std::vector<std::uint32_t> end_ids;  // Every id that ends a text (eos, eot); includes eos.
  bool add_bos = false;                // The files' own rule for a text given to the model.
  bool add_eos = false;
};

}  // namespace tern::tokenizer
