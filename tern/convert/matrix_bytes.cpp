// Rows out, one by one, on all threads.
#include "tern/convert/matrix_bytes.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "tern/base/error.h"
#include "tern/quant/float_codec.h"
#include "tern/tensor/dense_row.h"
#include "tern/tensor/half.h"

namespace tern::convert {
namespace {

constexpr float kLargestF16 = 65504;

float rounded_to(float value, DType type) noexcept {
  if (type == DType::kF16) return f16_to_float(float_to_f16(value));
  if (type == DType::kBF16) return bf16_to_float(float_to_bf16(value));
  return value;
}

std::size_t row_size(DType type, std::size_t cols) {
  return static_cast<std::size_t>(dtype_bytes(type, 1, cols).value_or(0));
}

}  // namespace

std::vector<Slot> slots(const arch::ModelConfig& config) {
  std::vector<Slot> all;
  const auto specs = arch::architecture(config.arch).tensors;
  for (const arch::TensorSpec& spec : specs) {
    if (spec.role == arch::TensorRole::kEmbedding) all.push_back({&spec, 0});
  }
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    for (const arch::TensorSpec& spec : specs) {
      if (spec.per_layer() && arch::needed(spec, config)) all.push_back({&spec, layer});
    }
  }
  for (const arch::TensorSpec& spec : specs) {
    if (spec.role == arch::TensorRole::kOutputNorm ||
        (spec.role == arch::TensorRole::kHead && !config.tied_head)) {
      all.push_back({&spec, 0});
    }
  }
  return all;
}

bool holds_exactly(std::span<const float> values, DType type) noexcept {
  return std::ranges::all_of(values, [&](float v) { return rounded_to(v, type) == v; });
}

bool holds_exactly(const DenseMatrix& matrix, DType type, ThreadPool& pool) {
  if (matrix.type == type) return true;
  std::atomic<bool> exact{true};
  pool.parallel_for(matrix.rows, 1, [&](std::size_t begin, std::size_t end) {
    std::vector<float> row(matrix.cols);
    for (std::size_t r = begin; r < end && exact.load(std::memory_order_relaxed); ++r) {
      dense_row_to_float(matrix.type, matrix.row(r), matrix.cols, row.data());
      if (!holds_exactly(row, type)) exact.store(false, std::memory_order_relaxed);
    }
  });
  return exact;
}

Bytes dense_bytes(const DenseMatrix& matrix, DType type, std::string_view name, ThreadPool& pool) {
  if (type == matrix.type) return Bytes(matrix.bytes.begin(), matrix.bytes.end());
  const std::size_t size = row_size(type, matrix.cols);
  Bytes out(matrix.rows * size);
  pool.parallel_for(matrix.rows, 1, [&](std::size_t begin, std::size_t end) {
    std::vector<float> row(matrix.cols);
    for (std::size_t r = begin; r < end; ++r) {
      dense_row_to_float(matrix.type, matrix.row(r), matrix.cols, row.data());
      for (const float v : row) {
        // Q8_0 and Q6_K scale each block, so that they hold any number but no infinite one.
        if (type == DType::kF16 ? !(std::abs(v) <= kLargestF16) : !std::isfinite(v)) {
          throw Error(
              ErrorCode::kUnsupported,
              fmt::format("tensor '{}' row {}: the value {} was found, which {} cannot hold", name,
                          r, v, dtype_name(type)));
        }
      }
      quant::encode_row(type, row, std::span(out).subspan(r * size, size));
    }
  });
  return out;
}

Bytes vector_bytes(std::span<const float> values, DType type) {
  Bytes out(row_size(type, values.size()));
  quant::encode_row(type, values, out);
  return out;
}

Bytes expanded_bytes(const TernaryMatrix& matrix, DType type, ThreadPool& pool) {
  const std::size_t cols = matrix.cols();
  const std::size_t size = row_size(type, cols);
  Bytes out(matrix.rows() * size);
  pool.parallel_for(matrix.rows(), 1, [&](std::size_t begin, std::size_t end) {
    std::vector<std::int8_t> digits(cols);
    std::vector<float> row(cols);
    for (std::size_t r = begin; r < end; ++r) {
      matrix.get_row(r, digits);
      for (std::size_t c = 0; c < cols; ++c) {
        row[c] = digits[c] == 0 ? 0.0f : static_cast<float>(digits[c]) * matrix.scale(r, c);
      }
      quant::encode_row(type, row, std::span(out).subspan(r * size, size));
    }
  });
  return out;
}

namespace {

DenseMatrix interleave_dense(const DenseMatrix& matrix, std::size_t head_dim) {
  DenseMatrix out;
  out.type = matrix.type;
  out.rows = matrix.rows;
  out.cols = matrix.cols;
  out.owned = AlignedBuffer(matrix.bytes.size());
  const std::size_t size = matrix.row_bytes();
  for (std::size_t r = 0; r < matrix.rows; ++r) {
    std::memcpy(out.owned.data() + r * size, matrix.row(arch::interleaved_source(r, head_dim)),
                size);
  }
  out.bytes = {out.owned.data(), matrix.bytes.size()};
  return out;
}

TernaryMatrix interleave_ternary(const TernaryMatrix& matrix, std::size_t head_dim) {
  std::vector<float> scales(matrix.scales().begin(), matrix.scales().end());
  const std::size_t per_row =
      matrix.scale_kind() == ScaleKind::kTensor ? 0 : matrix.groups_per_row();
  TernaryMatrix out(matrix.rows(), matrix.cols(), matrix.scale_kind(), matrix.group(), scales);
  std::vector<std::int8_t> digits(matrix.cols());
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    const std::size_t from = arch::interleaved_source(r, head_dim);
    matrix.get_row(from, digits);
    out.set_row(r, digits);
    for (std::size_t g = 0; g < per_row; ++g) {
      out.mutable_scales()[r * per_row + g] = scales[from * per_row + g];
    }
  }
  return out;
}

}  // namespace

Matrix interleave(const Matrix& matrix, std::size_t head_dim) {
  if (const auto* ternary = std::get_if<TernaryMatrix>(&matrix)) {
    return interleave_ternary(*ternary, head_dim);
  }
  return interleave_dense(std::get<DenseMatrix>(matrix), head_dim);
}

std::vector<float> interleave(std::span<const float> values, std::size_t head_dim) {
  std::vector<float> out(values.size());
  for (std::size_t r = 0; r < out.size(); ++r) {
    out[r] = values[arch::interleaved_source(r, head_dim)];
  }
  return out;
}

void ScaleLoss::add(std::span<const float> values, DType type, std::string_view name) {
  for (const float s : values) {
    const float held = rounded_to(s, type);
    ++scales;
    if (held == s) continue;
    if (held == 0 || !std::isfinite(held)) {
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format("tensor '{}': the scale {} was found, which {} cannot hold (I2_S, IQ2_BN and "
                      "F32 can)",
                      name, s, dtype_name(type)));
    }
    ++rounded;
    largest = std::max(largest, std::abs(static_cast<double>(held) - s) / std::abs(s));
  }
}

void ScaleLoss::report(std::string_view type, const Notice& notice) const {
  if (rounded == 0) return;
  notify(notice,
         fmt::format("{} of {} weight scales were rounded to {}, by at most {:.2g} of their value",
                     rounded, scales, type, largest));
}

}  // namespace tern::convert
