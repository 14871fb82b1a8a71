// The tokenizer in a GGUF's metadata (tokenizer.ggml.*) to TokenizerData.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tern/base/notice.h"
#include "tern/formats/gguf.h"
#include "tern/tokenizer/tokenizer_data.h"

namespace tern::checkpoint {

// Reads the models `gpt2` (byte-level BPE) and `llama` (SentencePiece BPE). `forced` stands in for
// tokenizer.ggml.pre. Where that is missing: Llama 3's pattern and a notice if the vocabulary is
// Llama 3's, else "default" and a notice. Throws Error(kUnsupported) naming an unknown model or
// pre-tokenizer, Error(kCorruptFile) for keys that are missing or malformed.
tokenizer::TokenizerData read_tokenizer_gguf(const formats::GgufFile& file,
                                             std::optional<tokenizer::PreTokenizer> forced,
                                             const Notice& notice);

// The pre-tokenizer that GGUF calls `name` (llama-bpe, gpt-2, qwen2, falcon, falcon3, default, and
// their aliases); nullopt for another.
std::optional<tokenizer::PreTokenizer> pre_tokenizer_by_name(std::string_view name);

// All names, for messages: "default, falcon, ...". The GGUF name of a kind: its first.
std::string pre_tokenizer_names();
std::string_view gguf_name(tokenizer::PreTokenizer pre);

}  // namespace tern::checkpoint
