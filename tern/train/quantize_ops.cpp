// Loops over contiguous float32 rows, split among libtorch's threads; results do not depend on how.
#include "tern/train/quantize_ops.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "tern/quant/weight_digits.h"
#include "tern/train/matrix_rows.h"

namespace tern::train {
namespace {

constexpr float kSmallest = 1e-5f;  // Least max|x|.

std::span<const float> run_of(const float* w, std::int64_t n) {
  return {w, static_cast<std::size_t>(n)};
}

void digits_of(WeightKind kind, const float* w, std::int64_t n, const quant::WeightMeans& means,
               std::int8_t* out) {
  const auto digits = kind == WeightKind::kTernary ? quant::ternary_digits : quant::binary_digits;
  digits(run_of(w, n), means, {out, static_cast<std::size_t>(n)});
}

// Calls visit(row, first column, columns, means) for every run of weights with one scale.
template <typename Visit>
std::vector<float> for_each_run(const torch::Tensor& w, const WeightFormat& format, Visit&& visit) {
  TORCH_CHECK(w.dim() == 2 && w.is_contiguous() && w.scalar_type() == torch::kFloat32,
              "weights of shape ", w.sizes(), " found, expected a contiguous float32 matrix");
  const std::int64_t count = w.size(0), cols = w.size(1);
  const float* data = w.data_ptr<float>();
  if (format.scale == ScaleKind::kTensor) {
    std::vector<quant::WeightSums> by_row(static_cast<std::size_t>(count));
    at::parallel_for(0, count, rows::grain(cols), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        by_row[static_cast<std::size_t>(r)] = quant::weight_sums(run_of(data + r * cols, cols));
      }
    });
    quant::WeightSums all;
    for (const quant::WeightSums& sums : by_row) all += sums;
    const quant::WeightMeans means = quant::weight_means(all, static_cast<double>(count * cols));
    at::parallel_for(0, count, rows::grain(cols), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) visit(r, 0, cols, means);
    });
    return {means.scale};
  }
  const std::int64_t width = format.scale == ScaleKind::kRow ? cols : format.group;
  TORCH_CHECK(width > 0 && cols % width == 0, "groups of ", width, " columns found in rows of ",
              cols, ", expected a whole number of them");
  std::vector<float> scales(static_cast<std::size_t>(count * (cols / width)));
  at::parallel_for(0, count, rows::grain(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t c = 0; c < cols; c += width) {
        const quant::WeightMeans means = quant::weight_means(
            quant::weight_sums(run_of(data + r * cols + c, width)), static_cast<double>(width));
        scales[static_cast<std::size_t>(r * (cols / width) + c / width)] = means.scale;
        visit(r, c, width, means);
      }
    }
  });
  return scales;
}

}  // namespace

Scaled quantize_activations(const torch::Tensor& x, double lambda, torch::Dtype type) {
  TORCH_CHECK(x.dim() == 2 && x.is_contiguous() && x.scalar_type() == torch::kFloat32,
              "activations of shape ", x.sizes(), " found, expected a contiguous float32 matrix");
  const std::int64_t count = x.size(0), cols = x.size(1);
  Scaled out{torch::empty(x.sizes(), x.options().dtype(type)), {}};
  if (lambda >= 1) out.scales = torch::empty({count, 1}, x.options());
  float* scales = out.scales.defined() ? out.scales.data_ptr<float>() : nullptr;
  const rows::Reader reader(x);
  const rows::Writer writer(out.values);
  at::parallel_for(0, count, rows::grain(cols), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row(static_cast<std::size_t>(cols));
    for (std::int64_t r = begin; r < end; ++r) {
      reader.copy(r, row.data());
      const float most = std::max(rows::absolute_maximum(row.data(), cols), kSmallest);
      if (scales != nullptr) {
        rows::levels(row.data(), cols, 127.0f / most);
        scales[r] = most / 127.0f;
      } else {
        rows::mix_levels(row.data(), cols, 127.0f / most, most / 127.0f,
                         static_cast<float>(lambda));
      }
      writer.put(r, 0, row.data(), cols);
    }
  });
  return out;
}

Scaled quantize_weights(const torch::Tensor& w, const WeightFormat& format, double lambda,
                        torch::Dtype type) {
  if (format.kind == WeightKind::kFullPrecision) return {w.to(type), {}};
  Scaled out{torch::empty(w.sizes(), w.options().dtype(type)), {}};
  const rows::Writer writer(out.values);
  const std::int64_t cols = w.size(1);
  const float* from = w.data_ptr<float>();
  const bool apart = lambda >= 1 && format.scale != ScaleKind::kGroup;
  const auto share = static_cast<float>(lambda);
  const auto scales =
      for_each_run(w, format, [&](std::int64_t r, std::int64_t c, std::int64_t n, auto& means) {
        const float* x = from + r * cols + c;
        std::vector<std::int8_t> digits(static_cast<std::size_t>(n));
        digits_of(format.kind, x, n, means, digits.data());
        std::vector<float> y(static_cast<std::size_t>(n));
        rows::widen_levels(digits.data(), n, apart ? 1.0f : means.scale, y.data());
        for (std::int64_t i = 0; i < n && share < 1; ++i) {
          float& value = y[static_cast<std::size_t>(i)];
          value = x[i] + share * (value - x[i]);
        }
        writer.put(r, c, y.data(), n);
      });
  if (apart) {
    out.scales = torch::tensor(scales, torch::kFloat32);
    if (format.scale == ScaleKind::kTensor) out.scales = out.scales.squeeze(0);
  }
  return out;
}

torch::Tensor scaled(const torch::Tensor& m, const torch::Tensor& by_row,
                     const torch::Tensor& by_col, torch::Dtype type) {
  if (!by_row.defined() && !by_col.defined()) return m.to(type);
  const torch::Tensor from = m.contiguous();
  torch::Tensor out = torch::empty(from.sizes(), from.options().dtype(type));
  const std::int64_t cols = from.size(1);
  const bool one = by_col.defined() && by_col.dim() == 0;
  const float all = one ? by_col.item<float>() : 1.0f;
  const float* row_scale = by_row.defined() ? by_row.data_ptr<float>() : nullptr;
  const float* col_scale = by_col.defined() && !one ? by_col.data_ptr<float>() : nullptr;
  const rows::Reader reader(from);
  const rows::Writer writer(out);
  at::parallel_for(0, from.size(0), rows::grain(cols), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row(static_cast<std::size_t>(cols));
    for (std::int64_t r = begin; r < end; ++r) {
      reader.copy(r, row.data());
      rows::scale(row.data(), cols, row_scale == nullptr ? all : row_scale[r] * all, col_scale,
                  row.data());
      writer.put(r, 0, row.data(), cols);
    }
  });
  return out;
}

QuantizedWeights quantized_weights(const torch::Tensor& w, const WeightFormat& format) {
  const torch::Tensor weights = w.detach();
  QuantizedWeights out{torch::empty(weights.sizes(), torch::kInt8), {}};
  const std::int64_t cols = weights.size(1);
  const float* from = weights.data_ptr<float>();
  std::int8_t* to = out.digits.data_ptr<std::int8_t>();
  out.scales = for_each_run(
      weights, format, [&](std::int64_t r, std::int64_t c, std::int64_t n, auto& means) {
        digits_of(format.kind, from + r * cols + c, n, means, to + r * cols + c);
      });
  return out;
}

}  // namespace tern::train
