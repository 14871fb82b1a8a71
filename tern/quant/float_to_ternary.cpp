// Float matrices -> ternary, exactly or by their means.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "tern/base/error.h"
#include "tern/quant/float_codec.h"
#include "tern/quant/ternary_row.h"
#include "tern/quant/weight_digits.h"
#include "tern/tensor/dense_row.h"

namespace tern::quant {
namespace {

// A dense tensor, read row by row.
struct DenseRows {
  explicit DenseRows(const TensorView& view)
      : tensor(view),
        rows(static_cast<std::size_t>(view.rows())),
        cols(static_cast<std::size_t>(view.cols())) {
    const auto bytes = dtype_bytes(view.type, view.rows(), view.cols());
    if (!is_dense(view.type) || !bytes || *bytes != view.bytes.size()) {
      throw Error(ErrorCode::kBadArgument,
                  "tensor '" + view.name + "' is " + std::string(dtype_name(view.type)) +
                      " of shape " + shape_text(view.shape) + " in " +
                      std::to_string(view.bytes.size()) + " bytes, expected a matrix of floats");
    }
    row_bytes = rows == 0 ? 0 : view.bytes.size() / rows;
  }
  const std::byte* row(std::size_t r) const { return tensor.bytes.data() + r * row_bytes; }
  void read(std::size_t r, std::span<float> out) const {
    dense_row_to_float(tensor.type, row(r), cols, out.data());
  }

  const TensorView& tensor;
  std::size_t rows;
  std::size_t cols;
  std::size_t row_bytes = 0;
};

// Whether reading a row as floats loses nothing; only doubles can.
bool row_is_float(const DenseRows& dense, std::size_t r) {
  if (dense.tensor.type != DType::kF64) return true;
  for (std::size_t c = 0; c < dense.cols; ++c) {
    double value;
    std::memcpy(&value, dense.row(r) + sizeof(value) * c, sizeof(value));
    if (static_cast<double>(static_cast<float>(value)) != value) return false;
  }
  return true;
}

// Digits of a row that holds only -s, 0 and +s; false at the first value that is none of them.
bool exact_digits(std::span<const float> row, float s, std::span<std::int8_t> digits) {
  bool fits = true;
  for (std::size_t c = 0; c < row.size(); ++c) {
    const bool plus = row[c] == s;
    const bool minus = row[c] == -s;
    fits = fits && (plus || minus || row[c] == 0);
    digits[c] = static_cast<std::int8_t>(static_cast<int>(plus) - static_cast<int>(minus));
  }
  return fits;
}

template <typename T>
std::span<T> part_of(std::span<T> row, std::size_t g, std::size_t width) {
  return row.subspan(g * width, std::min(width, row.size() - g * width));
}

// One for each scale. `sums` holds `per_row` parts of `width` columns for each row.
std::vector<WeightMeans> means_of(const std::vector<WeightSums>& sums, ScaleKind kind,
                                  std::size_t cols, std::size_t width, std::size_t per_row) {
  if (kind == ScaleKind::kTensor) {
    WeightSums total;
    for (const WeightSums& sum : sums) total += sum;
    return {weight_means(total, static_cast<double>(sums.size()) * static_cast<double>(cols))};
  }
  std::vector<WeightMeans> means;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const std::size_t begin = i % per_row * width;
    means.push_back(weight_means(sums[i], static_cast<double>(std::min(width, cols - begin))));
  }
  return means;
}

// The magnitude of the first value that is not zero, 0 where there is none. NaN counts as a value.
float first_magnitude(std::span<const float> row) {
  for (const float value : row) {
    if (value != 0) return std::fabs(value);
  }
  return 0;
}

}  // namespace

void tensor_row_to_float(const TensorView& tensor, std::size_t row, std::span<float> out) {
  if (!is_ternary(tensor.type)) {
    const DenseRows dense(tensor);
    dense.read(row, out);
    return;
  }
  const TernarySource source = checked_source(tensor);
  const TernaryCodec& codec = codec_of(tensor.type);
  std::vector<std::uint8_t> codes(source.cols);
  std::vector<std::int8_t> digits(source.cols);
  codec.read_codes(source, row, codes.data());
  codes_to_digits(codes, digits, tensor, row);
  const std::size_t group = codec.group == 0 ? source.cols : codec.group;
  for (std::size_t c = 0; c < source.cols; c += group) {
    const float scale = checked_scale(codec, source, tensor, row, c / group);
    const std::size_t end = std::min(source.cols, c + group);
    for (std::size_t i = c; i < end; ++i) out[i] = static_cast<float>(digits[i]) * scale;
  }
}

std::optional<TernaryMatrix> exact_ternary(const TensorView& tensor, ThreadPool& pool) {
  const DenseRows dense(tensor);
  // The scale comes from the first row that is not all zeros, and that row alone tells latent
  // weights from ternary ones before anything large is allocated.
  std::vector<float> row(dense.cols);
  std::vector<std::int8_t> first_digits(dense.cols);
  float s = 0;
  for (std::size_t r = 0; r < dense.rows && s == 0; ++r) {
    dense.read(r, row);
    s = first_magnitude(row);
    if (!row_is_float(dense, r) || (s != 0 && !exact_digits(row, s, first_digits))) {
      return std::nullopt;
    }
  }
  if (!std::isfinite(s)) return std::nullopt;
  TernaryMatrix matrix(dense.rows, dense.cols, ScaleKind::kTensor, 0, {s == 0 ? 1.0f : s});
  if (s == 0) return matrix;
  std::atomic<bool> fits{true};
  pool.parallel_for(dense.rows, 1, [&](std::size_t begin, std::size_t end) {
    std::vector<float> values(dense.cols);
    std::vector<std::int8_t> digits(dense.cols);
    for (std::size_t r = begin; r < end && fits.load(std::memory_order_relaxed); ++r) {
      dense.read(r, values);
      if (!exact_digits(values, s, digits) || !row_is_float(dense, r)) {
        fits.store(false, std::memory_order_relaxed);
        return;
      }
      matrix.set_row(r, digits);
    }
  });
  if (!fits) return std::nullopt;
  return matrix;
}

TernaryMatrix quantize_latent(const TensorView& tensor, const LatentQuantization& how,
                              ThreadPool& pool) {
  const DenseRows dense(tensor);
  const std::size_t width = how.scales == ScaleKind::kGroup ? how.group : dense.cols;
  const std::size_t per_row =
      how.scales == ScaleKind::kGroup && width != 0 ? (dense.cols + width - 1) / width : 1;
  std::vector<WeightSums> sums(dense.rows * per_row);
  pool.parallel_for(dense.rows, 1, [&](std::size_t begin, std::size_t end) {
    std::vector<float> values(dense.cols);
    for (std::size_t r = begin; r < end; ++r) {
      dense.read(r, values);
      for (std::size_t g = 0; g < per_row; ++g) {
        const WeightSums sum = weight_sums(part_of(std::span<const float>(values), g, width));
        if (!std::isfinite(sum.magnitude)) {
          throw Error(ErrorCode::kCorruptFile, "tensor '" + tensor.name +
                                                   "' holds a value in row " + std::to_string(r) +
                                                   " that is not finite");
        }
        sums[r * per_row + g] = sum;
      }
    }
  });
  const std::vector<WeightMeans> means = means_of(sums, how.scales, dense.cols, width, per_row);
  std::vector<float> scales(means.size());
  std::ranges::transform(means, scales.begin(), &WeightMeans::scale);
  TernaryMatrix matrix(dense.rows, dense.cols, how.scales,
                       how.scales == ScaleKind::kGroup ? how.group : 0, std::move(scales));
  const auto digits_of = how.kind == LatentKind::kTernary ? ternary_digits : binary_digits;
  pool.parallel_for(dense.rows, 1, [&](std::size_t begin, std::size_t end) {
    std::vector<float> values(dense.cols);
    std::vector<std::int8_t> digits(dense.cols);
    for (std::size_t r = begin; r < end; ++r) {
      dense.read(r, values);
      for (std::size_t g = 0; g < per_row; ++g) {
        const std::size_t part = how.scales == ScaleKind::kTensor ? 0 : r * per_row + g;
        digits_of(part_of(std::span<const float>(values), g, width), means[part],
                  part_of(std::span<std::int8_t>(digits), g, width));
      }
      matrix.set_row(r, digits);
    }
  });
  return matrix;
}

TernaryMatrix absmean_quantize(const TensorView& tensor, ThreadPool& pool) {
  return quantize_latent(tensor, {}, pool);
}

}  // namespace tern::quant
