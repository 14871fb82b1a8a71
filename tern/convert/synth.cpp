// Shape in, GGUF out; each tensor is drawn when it is written.
#include "tern/convert/synth.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/convert/gguf_keys.h"
#include "tern/convert/matrix_bytes.h"
#include "tern/convert/random_weights.h"
#include "tern/formats/gguf.h"
#include "tern/quant/ternary_codec.h"
#include "tern/tensor/half.h"
#include "tern/tokenizer/byte_alphabet.h"

namespace tern::convert {
namespace {

constexpr std::array kTypes{DType::kTQ1_0, DType::kTQ2_0, DType::kI2S, DType::kIQ2_BN,
                            DType::kF16,   DType::kBF16,  DType::kF32};
constexpr std::array kEmbeddingTypes{DType::kQ6_K, DType::kQ8_0, DType::kQ4_0,
                                     DType::kF16,  DType::kBF16, DType::kF32};

void check(std::span<const DType> list, DType type, std::string_view what) {
  if (std::ranges::find(list, type) != list.end()) return;
  std::string names;
  for (const DType t : list) names += (names.empty() ? "" : ", ") + std::string(dtype_name(t));
  throw Error(ErrorCode::kBadArgument,
              fmt::format("{} {} found, expected one of {}", what, dtype_name(type), names));
}

arch::ModelConfig config_of(std::string_view shape) {
  if (auto config = arch::named_shape(shape)) return *config;
  std::string names;
  for (const std::string_view name : arch::shape_names()) {
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw Error(ErrorCode::kBadArgument,
              fmt::format("shape '{}' found, expected one of {}", shape, names));
}

tokenizer::TokenizerData vocabulary(std::size_t size) {
  using tokenizer::TokenType;
  tokenizer::TokenizerData data;
  data.kind = tokenizer::TokenizerKind::kByteBpe;
  data.pre = tokenizer::PreTokenizer::kGpt2;
  for (int byte = 0; byte < 256; ++byte) {
    data.pieces.push_back(tokenizer::to_printable(std::string(1, static_cast<char>(byte))));
  }
  data.bos = static_cast<std::uint32_t>(data.pieces.size());
  data.pieces.push_back("<|begin_of_text|>");
  data.eos = static_cast<std::uint32_t>(data.pieces.size());
  data.pieces.push_back("<|end_of_text|>");
  for (std::size_t id = data.pieces.size(); id < size; ++id) {
    data.pieces.push_back(tokenizer::to_printable(" w" + std::to_string(id)));
  }
  data.types.assign(data.pieces.size(), TokenType::kNormal);
  for (const auto id : {*data.bos, *data.eos}) {
    data.types[id] = TokenType::kControl;
    data.added.push_back({id, data.pieces[id], true, false, false, false});
  }
  data.end_ids = {*data.eos};
  data.add_bos = true;
  return data;
}

// 1 / sqrt(cols * 2 / 3), so that a product of a normalised row with digits that are not 0 in two
// of three places comes out near 1. Rounded to BF16, which F16 holds as well at this size.
float scale_for(std::size_t cols) {
  return bf16_to_float(float_to_bf16(std::sqrt(1.5f / static_cast<float>(cols))));
}

DType fitting_embedding(DType type, std::size_t hidden, const Notice& notice) {
  if (dtype_bytes(type, 1, hidden)) return type;
  const DType other = dtype_bytes(DType::kQ8_0, 1, hidden) ? DType::kQ8_0 : DType::kF16;
  notify(notice,
         fmt::format("the embedding has rows of {} numbers, which {} cannot hold, and is written "
                     "as {}",
                     hidden, dtype_name(type), dtype_name(other)));
  return other;
}

}  // namespace

void synth(std::string_view shape, const std::filesystem::path& out, const SynthOptions& options,
           ThreadPool& pool, const Notice& notice, const Progress& progress) {
  check(kTypes, options.type, "type");
  check(kEmbeddingTypes, options.embedding_type, "embedding type");
  const arch::ModelConfig config = config_of(shape);
  const DType embedding = fitting_embedding(options.embedding_type, config.hidden, notice);
  const std::vector<Slot> all = slots(config);
  std::size_t done = 0, unfit = 0;
  const auto step = [&] {
    ++done;
    if (progress) progress("writing", static_cast<double>(done) / static_cast<double>(all.size()));
  };

  formats::GgufWriter writer;
  set_model_keys(writer, config, options.type, std::string(kSynthName) + std::string(shape));
  set_tokenizer_keys(writer, vocabulary(config.vocab), config.vocab, notice);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const arch::TensorSpec& spec = *all[i].spec;
    const std::uint64_t seed = (options.seed << 20) + i;
    const auto dims = arch::tensor_shape(spec.shape, config);
    const std::string name = arch::tensor_name(spec.gguf, all[i].layer);
    if (!spec.is_matrix()) {
      writer.add_tensor(name, DType::kF32, dims, [&step, seed, n = dims[0]] {
        step();
        return vector_bytes(random_norm(n, seed), DType::kF32);
      });
      continue;
    }
    const std::size_t rows = dims[0], cols = dims[1];
    if (!spec.linear) {
      writer.add_tensor(name, embedding, dims, [&step, &pool, embedding, rows, cols, seed] {
        step();
        const float sigma = 1 / std::sqrt(static_cast<float>(cols));
        return random_dense(embedding, rows, cols, sigma, seed, pool);
      });
      continue;
    }
    const bool fits = dtype_bytes(options.type, rows, cols).has_value();
    unfit += fits ? 0 : 1;
    const DType type = fits ? options.type : DType::kF16;
    writer.add_tensor(name, type, dims, [&step, &pool, type, rows, cols, seed] {
      step();
      const TernaryMatrix matrix = random_ternary(rows, cols, scale_for(cols), seed, pool);
      return is_ternary(type) ? quant::write_ternary(matrix, type).bytes
                              : expanded_bytes(matrix, type, pool);
    });
  }
  if (unfit > 0) {
    notify(notice,
           fmt::format("{} matrices have rows that are no whole number of blocks of {}, and are "
                       "written as F16 holding exactly -s, 0 and +s",
                       unfit, dtype_name(options.type)));
  }
  writer.write(out);
}

}  // namespace tern::convert
