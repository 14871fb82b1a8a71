// A checkpoint whose linear layers are sums, made when they are asked for.
#include "tern/convert/merge_adapter.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/convert/matrix_bytes.h"
#include "tern/tensor/dense_row.h"

namespace tern::convert {
namespace {

using arch::TensorRole;
using checkpoint::Checkpoint;
using checkpoint::LoraAdapter;
using checkpoint::LowRank;

constexpr std::array kBodyTypes{DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0};

bool is_plain(DType type) noexcept {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

// Row `r` of a matrix as floats.
void read_row(const Matrix& matrix, std::size_t r, std::span<float> out) {
  const auto* ternary = std::get_if<TernaryMatrix>(&matrix);
  if (ternary == nullptr) {
    const auto& dense = std::get<DenseMatrix>(matrix);
    dense_row_to_float(dense.type, dense.row(r), out.size(), out.data());
    return;
  }
  std::vector<std::int8_t> digits(out.size());
  ternary->get_row(r, digits);
  for (std::size_t c = 0; c < out.size(); ++c) {
    out[c] = digits[c] == 0 ? 0.0f : static_cast<float>(digits[c]) * ternary->scale(r, c);
  }
}

// matrix + b a as F32; `addend` may be none.
DenseMatrix sum(const Matrix& matrix, const LowRank* addend, ThreadPool& pool) {
  DenseMatrix out;
  out.type = DType::kF32;
  out.rows = matrix_rows(matrix);
  out.cols = matrix_cols(matrix);
  out.owned = AlignedBuffer(out.rows * out.cols * sizeof(float));
  out.bytes = {out.owned.data(), out.owned.size()};
  const std::size_t rank = addend == nullptr ? 0 : addend->a.rows;
  const float* a = rank == 0 ? nullptr : addend->a.owned.as<float>().data();
  const float* b = rank == 0 ? nullptr : addend->b.owned.as<float>().data();
  const std::span<float> to = out.owned.as<float>();
  pool.parallel_for(out.rows, 1, [&](std::size_t begin, std::size_t end) {
    std::vector<double> row(out.cols);
    for (std::size_t r = begin; r < end; ++r) {
      const std::span<float> values = to.subspan(r * out.cols, out.cols);
      read_row(matrix, r, values);
      if (rank == 0) continue;
      row.assign(values.begin(), values.end());
      for (std::size_t k = 0; k < rank; ++k) {
        const auto factor = static_cast<double>(b[r * rank + k]);
        const float* from = a + k * out.cols;
        for (std::size_t c = 0; c < out.cols; ++c) row[c] += factor * static_cast<double>(from[c]);
      }
      for (std::size_t c = 0; c < out.cols; ++c) values[c] = static_cast<float>(row[c]);
    }
  });
  return out;
}

DenseMatrix rounded(DenseMatrix matrix, DType type, const std::string& name, ThreadPool& pool) {
  if (matrix.type == type) return matrix;
  const Bytes bytes = dense_bytes(matrix, type, name, pool);
  DenseMatrix out;
  out.type = type;
  out.rows = matrix.rows;
  out.cols = matrix.cols;
  out.owned = AlignedBuffer(bytes.size());
  std::memcpy(out.owned.data(), bytes.data(), bytes.size());
  out.bytes = {out.owned.data(), out.owned.size()};
  return out;
}

class MergedCheckpoint final : public Checkpoint {
 public:
  MergedCheckpoint(const Checkpoint& base, const LoraAdapter& adapter, std::optional<DType> type,
                   ThreadPool& pool)
      : base_(base), adapter_(adapter), type_(type) {
    name_ = base.name();
    config_ = base.config();
    tokenizer_ = base.tokenizer();
    chat_template_ = base.chat_template();
    tool_template_ = base.tool_template();
    generation_ = base.generation();
    for (const Slot& slot : slots(config_)) {
      if (!slot.spec->linear) continue;
      linear_.push_back(slot);
      ternary_ = ternary_ || std::holds_alternative<TernaryMatrix>(
                                 base.matrix(slot.spec->role, slot.layer, pool));
    }
    if (!ternary_) return;
    // Floats that look like digits, or that stand where readers expect latent weights, must say
    // what they are; any other model is left as plain as other programs like it.
    const arch::Architecture& a = arch::architecture(config_.arch);
    config_.declares_b158 = false;
    config_.declares_float =
        a.declares_b158 || (config_.sub_norms && !a.sub_norms) || adapter.layers() < linear_.size();
  }

  bool ternary() const noexcept { return ternary_; }
  // Of the linear layers of a ternary base.
  DType body_type() const noexcept { return type_.value_or(DType::kF16); }

  std::string_view format() const noexcept override { return base_.format(); }
  std::vector<checkpoint::TensorInfo> tensors() const override { return base_.tensors(); }
  std::vector<float> vector(TensorRole role, std::size_t layer) const override {
    return base_.vector(role, layer);
  }
  Matrix matrix(TensorRole role, std::size_t layer, ThreadPool& pool,
                TernaryLayout layout) const override {
    Matrix matrix = base_.matrix(role, layer, pool, layout);
    const auto slot = std::ranges::find_if(
        linear_, [&](const Slot& s) { return s.spec->role == role && s.layer == layer; });
    const LowRank* addend = adapter_.find(role, layer);
    if (slot == linear_.end() || (addend == nullptr && !ternary_)) return matrix;
    DType type = DType::kF32;  // Rounded when it is written.
    if (!type_) {
      const auto* dense = std::get_if<DenseMatrix>(&matrix);
      type = dense != nullptr && is_plain(dense->type) ? dense->type : DType::kF16;
    }
    return rounded(sum(matrix, addend, pool), type, arch::tensor_name(slot->spec->hf, layer), pool);
  }
  const formats::GgufFile* gguf() const noexcept override { return base_.gguf(); }
  std::filesystem::path folder() const override { return base_.folder(); }

 private:
  const Checkpoint& base_;
  const LoraAdapter& adapter_;
  std::optional<DType> type_;
  std::vector<Slot> linear_;
  bool ternary_ = false;  // Some linear layer of the base is.
};

}  // namespace

std::unique_ptr<const Checkpoint> merge_adapter(const Checkpoint& base, const LoraAdapter& adapter,
                                                std::optional<DType> type, ThreadPool& pool,
                                                const Notice& notice) {
  if (type && std::ranges::find(kBodyTypes, *type) == kBodyTypes.end()) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("{}: type {} found, which cannot hold the sum of weights and adapter; "
                            "expected F32, F16, BF16 or Q8_0",
                            adapter.name(), dtype_name(*type)));
  }
  auto merged = std::make_unique<const MergedCheckpoint>(base, adapter, type, pool);
  if (merged->ternary()) {
    const DType body = merged->body_type();
    const double bits =
        8.0 * static_cast<double>(*dtype_bytes(body, 1, 64)) / 64;  // 64: whole blocks.
    notify(notice,
           fmt::format("{} is ternary, and merging makes a full-precision model of it: linear "
                       "layers of {} are {:.3g} times as large as ternary ones of two bits, and "
                       "what they multiply is no longer rounded to int8, so that the merged model "
                       "answers a little differently from base and adapter side by side",
                       base.name(), dtype_name(body), bits / 2));
  }
  return merged;
}

}  // namespace tern::convert
