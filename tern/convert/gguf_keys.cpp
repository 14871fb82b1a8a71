// One key after the other, as llama.cpp, bitnet.cpp and ik_llama.cpp look for them.
#include "tern/convert/gguf_keys.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/checkpoint/merges.h"
#include "tern/checkpoint/tokenizer_gguf.h"

namespace tern::convert {
namespace {

using tokenizer::TokenizerData;
using tokenizer::TokenizerKind;
using tokenizer::TokenType;

struct FileType {
  DType type;
  std::uint32_t number;
};
constexpr std::array kFileTypes{
    FileType{DType::kF32, 0},      FileType{DType::kF16, 1},      FileType{DType::kQ4_0, 2},
    FileType{DType::kQ8_0, 7},     FileType{DType::kQ6_K, 18},    FileType{DType::kBF16, 32},
    FileType{DType::kTQ1_0, 36},   FileType{DType::kTQ2_0, 37},   FileType{DType::kI2S, 40},
    FileType{DType::kIQ2_BN, 137}, FileType{DType::kQ2_0G64, 41}, FileType{DType::kQ2_0G128, 41},
};

// As numbered in tokenizer.ggml.token_type.
std::int32_t gguf_token_type(TokenType type) noexcept {
  switch (type) {
    case TokenType::kNormal:
      return 1;
    case TokenType::kUnknown:
      return 2;
    case TokenType::kControl:
      return 3;
    case TokenType::kUserDefined:
      return 4;
    case TokenType::kUnused:
      return 5;
    case TokenType::kByte:
      return 6;
  }
  return 1;
}

std::string padding_piece(std::size_t id) { return "[PAD" + std::to_string(id) + "]"; }

std::uint32_t u32(std::uint64_t value) noexcept { return static_cast<std::uint32_t>(value); }

void set_id(formats::GgufWriter& out, const char* key, std::optional<std::uint32_t> id) {
  if (id) out.set_uint32(key, *id);
}

void set_end_ids(formats::GgufWriter& out, const TokenizerData& data, const Notice& notice) {
  std::vector<std::uint32_t> others;
  for (const std::uint32_t id : data.end_ids) {
    if (id != data.eos) others.push_back(id);
  }
  if (!others.empty()) out.set_uint32("tokenizer.ggml.eot_token_id", others[0]);
  if (others.size() > 1) out.set_uint32("tokenizer.ggml.eom_token_id", others[1]);
  if (others.size() > 2) {
    notify(notice, fmt::format("{} ids end a text, of which GGUF can name 3", data.end_ids.size()));
  }
}

}  // namespace

std::uint32_t gguf_file_type(DType type) noexcept {
  const auto* row = std::ranges::find(kFileTypes, type, &FileType::type);
  return row == kFileTypes.end() ? 0 : row->number;
}

void set_model_keys(formats::GgufWriter& out, const arch::ModelConfig& config, DType body,
                    std::string_view name) {
  const std::string arch(arch::architecture(config.arch).gguf_names.front());
  out.set_string("general.architecture", arch);
  out.set_string("general.name", name);
  out.set_uint32("general.file_type", gguf_file_type(body));
  out.set_uint32("general.quantization_version", 2);
  const auto uint_key = [&](const char* key, std::size_t value) {
    out.set_uint32(arch + key, u32(value));
  };
  uint_key(".vocab_size", config.vocab);
  uint_key(".context_length", config.context);
  uint_key(".embedding_length", config.hidden);
  uint_key(".block_count", config.layers);
  uint_key(".feed_forward_length", config.ffn);
  uint_key(".attention.head_count", config.heads);
  uint_key(".attention.head_count_kv", config.kv_heads);
  uint_key(".attention.key_length", config.head_dim);
  uint_key(".attention.value_length", config.head_dim);
  out.set_float32(arch + ".attention.layer_norm_rms_epsilon", config.rms_eps);
  uint_key(".rope.dimension_count", config.head_dim);
  out.set_float32(arch + ".rope.freq_base", static_cast<float>(config.rope_theta));
  // bitnet files carry the scaling even where it does nothing.
  if (config.rope_linear_factor != 1 || config.arch == arch::ArchitectureId::kBitnet) {
    out.set_string(arch + ".rope.scaling.type", "linear");
    out.set_float32(arch + ".rope.scaling.factor", static_cast<float>(config.rope_linear_factor));
  }
}

void set_tokenizer_keys(formats::GgufWriter& out, const TokenizerData& data, std::size_t vocab,
                        const Notice& notice) {
  const bool spm = data.kind != TokenizerKind::kByteBpe;
  if (!spm && data.pre == tokenizer::PreTokenizer::kNone) {
    throw Error(ErrorCode::kUnsupported,
                "the tokenizer cuts texts in a way that GGUF has no name for, so that the model "
                "cannot be written to GGUF with it");
  }
  const bool whole_words_first =
      data.pre == tokenizer::PreTokenizer::kLlama3 || data.pre == tokenizer::PreTokenizer::kFalcon3;
  if (!spm && data.ignore_merges != whole_words_first) {
    notify(notice,
           fmt::format("the tokenizer.json says ignore_merges {}, but readers of a GGUF with pre-"
                       "tokenizer {} take it as {}, so that rare words may be cut otherwise",
                       data.ignore_merges, checkpoint::gguf_name(data.pre), whole_words_first));
  }
  out.set_string("tokenizer.ggml.model", spm ? "llama" : "gpt2");
  out.set_string("tokenizer.ggml.pre", spm ? "default" : checkpoint::gguf_name(data.pre));

  std::vector<std::string> pieces = data.pieces;
  std::vector<std::int32_t> types(pieces.size(), 1);
  for (std::size_t i = 0; i < std::min(types.size(), data.types.size()); ++i) {
    types[i] = gguf_token_type(data.types[i]);
    if (pieces[i].empty()) pieces[i] = padding_piece(i);  // A hole in the vocabulary.
  }
  for (const tokenizer::AddedToken& token : data.added) {
    if (token.id >= types.size()) continue;
    // <unk> stays what it is: engines look for its type.
    if (types[token.id] != gguf_token_type(TokenType::kUnknown)) {
      types[token.id] =
          gguf_token_type(token.special ? TokenType::kControl : TokenType::kUserDefined);
    }
  }
  std::vector<float> scores =
      data.kind == TokenizerKind::kMergeSpm ? checkpoint::scores_of_merges(data) : data.scores;
  scores.resize(pieces.size());
  for (std::size_t i = pieces.size(); i < vocab; ++i) {
    pieces.push_back(padding_piece(i));
    types.push_back(gguf_token_type(TokenType::kUnused));
    scores.push_back(spm ? -10000.0f : 0.0f);
  }
  out.set_strings("tokenizer.ggml.tokens", pieces);
  if (spm) out.set_floats("tokenizer.ggml.scores", scores);
  out.set_int32s("tokenizer.ggml.token_type", types);
  if (!spm) {
    std::vector<std::string> lines;
    for (const auto& [left, right] :
         data.merges_from_ranks ? checkpoint::merges_of_ranks(data) : data.merges) {
      lines.push_back(left + " " + right);
    }
    out.set_strings("tokenizer.ggml.merges", lines);
  }
  set_id(out, "tokenizer.ggml.bos_token_id", data.bos);
  set_id(out, "tokenizer.ggml.eos_token_id", data.eos);
  set_id(out, "tokenizer.ggml.unknown_token_id", data.unk);
  set_id(out, "tokenizer.ggml.padding_token_id", data.pad);
  set_end_ids(out, data, notice);
  out.set_bool("tokenizer.ggml.add_bos_token", data.add_bos);
  out.set_bool("tokenizer.ggml.add_eos_token", data.add_eos);
  out.set_bool("tokenizer.ggml.add_space_prefix", data.add_space_prefix);
  if (data.remove_extra_whitespaces) {
    out.set_bool("tokenizer.ggml.remove_extra_whitespaces", true);
  }
}

}  // namespace tern::convert
