// Loops over contiguous float32 rows, split among libtorch's threads; results do not depend on how.
#include "tern/train/quantize_ops.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tern/train/matrix_rows.h"

namespace tern::train {
namespace {

constexpr float kSmallest = 1e-5f;  // Least mean|W| and max|x|.

inline float clamp(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

// Sums behind the mean and mean magnitude of one group of weights, in column order.
struct Means {
  double sum = 0, magnitude = 0;
  void add(const float* w, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      sum += static_cast<double>(w[i]);
      magnitude += std::fabs(static_cast<double>(w[i]));
    }
  }
};

// The two numbers that turn a weight into its digit.
struct DigitRule {
  float scale = 1, inverse = 1, mean = 0;
  WeightKind kind = WeightKind::kTernary;

  DigitRule(const Means& m, std::int64_t count, WeightKind k)
      : scale(std::max(static_cast<float>(m.magnitude / static_cast<double>(count)), kSmallest)),
        inverse(1.0f / scale),
        mean(static_cast<float>(m.sum / static_cast<double>(count))),
        kind(k) {}

  template <typename Sink>
  void each(const float* w, std::int64_t n, Sink&& sink) const {
    if (kind == WeightKind::kTernary) {
      for (std::int64_t i = 0; i < n; ++i) {
        sink(i, clamp(rows::round_half_even(clamp(w[i] * inverse, -2.0f, 2.0f)), -1.0f, 1.0f));
      }
    } else {
      for (std::int64_t i = 0; i < n; ++i) {
        const float centred = w[i] - mean;
        sink(i, static_cast<float>(static_cast<int>(centred > 0) - static_cast<int>(centred < 0)));
      }
    }
  }
};

// Calls visit(row, first column, columns, rule) for every run of weights with one scale.
template <typename Visit>
std::vector<float> for_each_run(const torch::Tensor& w, const WeightFormat& format, Visit&& visit) {
  TORCH_CHECK(w.dim() == 2 && w.is_contiguous() && w.scalar_type() == torch::kFloat32,
              "weights of shape ", w.sizes(), " found, expected a contiguous float32 matrix");
  const std::int64_t count = w.size(0), cols = w.size(1);
  const float* data = w.data_ptr<float>();
  if (format.scale == ScaleKind::kTensor) {
    std::vector<Means> by_row(static_cast<std::size_t>(count));
    at::parallel_for(0, count, rows::grain(cols), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        by_row[static_cast<std::size_t>(r)].add(data + r * cols, cols);
      }
    });
    Means all;
    for (const Means& m : by_row) {
      all.sum += m.sum;
      all.magnitude += m.magnitude;
    }
    const DigitRule rule(all, count * cols, format.kind);
    at::parallel_for(0, count, rows::grain(cols), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) visit(r, 0, cols, rule);
    });
    return {rule.scale};
  }
  const std::int64_t width = format.scale == ScaleKind::kRow ? cols : format.group;
  TORCH_CHECK(width > 0 && cols % width == 0, "groups of ", width, " columns found in rows of ",
              cols, ", expected a whole number of them");
  std::vector<float> scales(static_cast<std::size_t>(count * (cols / width)));
  at::parallel_for(0, count, rows::grain(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t c = 0; c < cols; c += width) {
        Means m;
        m.add(data + r * cols + c, width);
        const DigitRule rule(m, width, format.kind);
        scales[static_cast<std::size_t>(r * (cols / width) + c / width)] = rule.scale;
        visit(r, c, width, rule);
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
  const auto scales = for_each_run(
      w, format, [&](std::int64_t r, std::int64_t c, std::int64_t n, const DigitRule& rule) {
        const float* x = from + r * cols + c;
        std::vector<float> y(static_cast<std::size_t>(n));
        rule.each(x, n, [&](std::int64_t i, float digit) {
          y[static_cast<std::size_t>(i)] = apart ? digit
                                           : share >= 1
                                               ? digit * rule.scale
                                               : x[i] + share * (digit * rule.scale - x[i]);
        });
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
      weights, format, [&](std::int64_t r, std::int64_t c, std::int64_t n, const DigitRule& rule) {
        std::int8_t* y = to + r * cols + c;
        rule.each(from + r * cols + c, n,
                  [&](std::int64_t i, float digit) { y[i] = static_cast<std::int8_t>(digit); });
      });
  return out;
}

}  // namespace tern::train
