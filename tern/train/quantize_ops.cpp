// Loops over contiguous float32 rows, split among libtorch's threads; results do not depend on how.
#include "tern/train/quantize_ops.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

namespace tern::train {
namespace {

constexpr float kSmallest = 1e-5f;  // Least mean|W| and max|x|.
constexpr std::int64_t kLanes = 16;

// Adding and taking away 1.5 * 2^23 rounds a float below 2^22 to the nearest whole number, ties to
// even, in two instructions that every compiler vectorises.
constexpr float kRounder = 12582912.0f;
inline float round_half_even(float v) { return (v + kRounder) - kRounder; }
inline float clamp(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

float absolute_maximum(const float* x, std::int64_t n) {
  std::array<float, kLanes> lanes{};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) {
      const float a = std::fabs(x[i + j]);
      auto& lane = lanes[static_cast<std::size_t>(j)];
      lane = a > lane ? a : lane;
    }
  }
  float most = 0;
  for (const float lane : lanes) most = std::max(most, lane);
  for (; i < n; ++i) most = std::max(most, std::fabs(x[i]));
  return most;
}

// What a value becomes in the tensor: float32 as it is, bfloat16 rounded to nearest even.
inline void store(float v, float* out) { *out = v; }
inline void store(float v, at::BFloat16* out) {
  std::uint32_t bits;
  std::memcpy(&bits, &v, sizeof(bits));
  bits += 0x7FFFu + ((bits >> 16) & 1u);
  out->x = static_cast<std::uint16_t>(bits >> 16);
}

inline float load(const float* in) { return *in; }
inline float load(const at::BFloat16* in) {
  const std::uint32_t bits = std::uint32_t{in->x} << 16;
  float v;
  std::memcpy(&v, &bits, sizeof(v));
  return v;
}

template <typename From, typename To>
void scale_row(const From* in, std::int64_t n, float scale, const float* each, To* out) {
  if (each == nullptr) {
    for (std::int64_t i = 0; i < n; ++i) store(load(in + i) * scale, out + i);
  } else {
    for (std::int64_t i = 0; i < n; ++i) store(load(in + i) * scale * each[i], out + i);
  }
}

// Rows that one thread should take at least, so that starting it is worth it.
std::int64_t grain(std::int64_t cols) {
  return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(cols, 1));
}

template <typename T>
void quantize_row(const float* x, std::int64_t n, float lambda, T* out, float* scale) {
  const float most = std::max(absolute_maximum(x, n), kSmallest);
  const float up = 127.0f / most;
  const float down = most / 127.0f;
  if (lambda >= 1) {
    for (std::int64_t i = 0; i < n; ++i) {
      store(clamp(round_half_even(x[i] * up), -128.0f, 127.0f), out + i);
    }
    *scale = down;
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const float level = clamp(round_half_even(x[i] * up), -128.0f, 127.0f);
    store(x[i] + lambda * (level * down - x[i]), out + i);
  }
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
        sink(i, clamp(round_half_even(clamp(w[i] * inverse, -2.0f, 2.0f)), -1.0f, 1.0f));
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
  const std::int64_t rows = w.size(0), cols = w.size(1);
  const float* data = w.data_ptr<float>();
  if (format.scale == ScaleKind::kTensor) {
    std::vector<Means> by_row(static_cast<std::size_t>(rows));
    at::parallel_for(0, rows, grain(cols), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        by_row[static_cast<std::size_t>(r)].add(data + r * cols, cols);
      }
    });
    Means all;
    for (const Means& m : by_row) {
      all.sum += m.sum;
      all.magnitude += m.magnitude;
    }
    const DigitRule rule(all, rows * cols, format.kind);
    at::parallel_for(0, rows, grain(cols), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) visit(r, 0, cols, rule);
    });
    return {rule.scale};
  }
  const std::int64_t width = format.scale == ScaleKind::kRow ? cols : format.group;
  TORCH_CHECK(width > 0 && cols % width == 0, "groups of ", width, " columns found in rows of ",
              cols, ", expected a whole number of them");
  std::vector<float> scales(static_cast<std::size_t>(rows * (cols / width)));
  at::parallel_for(0, rows, grain(cols), [&](std::int64_t begin, std::int64_t end) {
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

template <typename T>
Scaled quantize_weights_as(const torch::Tensor& w, const WeightFormat& format, float lambda,
                           torch::Dtype type) {
  Scaled out{torch::empty(w.sizes(), w.options().dtype(type)), {}};
  const std::int64_t cols = w.size(1);
  const float* from = w.data_ptr<float>();
  T* to = out.values.data_ptr<T>();
  const bool apart = lambda >= 1 && format.scale != ScaleKind::kGroup;
  const auto scales = for_each_run(
      w, format, [&](std::int64_t r, std::int64_t c, std::int64_t n, const DigitRule& rule) {
        const float* x = from + r * cols + c;
        T* y = to + r * cols + c;
        if (apart) {
          rule.each(x, n, [&](std::int64_t i, float digit) { store(digit, y + i); });
        } else if (lambda >= 1) {
          rule.each(x, n, [&](std::int64_t i, float digit) { store(digit * rule.scale, y + i); });
        } else {
          rule.each(x, n, [&](std::int64_t i, float digit) {
            store(x[i] + lambda * (digit * rule.scale - x[i]), y + i);
          });
        }
      });
  if (apart) {
    out.scales = torch::tensor(scales, torch::kFloat32);
    if (format.scale == ScaleKind::kTensor) out.scales = out.scales.squeeze(0);
  }
  return out;
}

}  // namespace

Scaled quantize_activations(const torch::Tensor& x, double lambda, torch::Dtype type) {
  TORCH_CHECK(x.dim() == 2 && x.is_contiguous() && x.scalar_type() == torch::kFloat32,
              "activations of shape ", x.sizes(), " found, expected a contiguous float32 matrix");
  const std::int64_t rows = x.size(0), cols = x.size(1);
  Scaled out{torch::empty(x.sizes(), x.options().dtype(type)), {}};
  if (lambda >= 1) out.scales = torch::empty({rows, 1}, x.options());
  const float* from = x.data_ptr<float>();
  float* scales = out.scales.defined() ? out.scales.data_ptr<float>() : nullptr;
  const auto run = [&](auto* to) {
    at::parallel_for(0, rows, grain(cols), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        quantize_row(from + r * cols, cols, static_cast<float>(lambda), to + r * cols,
                     scales == nullptr ? nullptr : scales + r);
      }
    });
  };
  if (type == torch::kBFloat16) {
    run(out.values.data_ptr<at::BFloat16>());
  } else {
    run(out.values.data_ptr<float>());
  }
  return out;
}

Scaled quantize_weights(const torch::Tensor& w, const WeightFormat& format, double lambda,
                        torch::Dtype type) {
  if (format.kind == WeightKind::kFullPrecision) return {w.to(type), {}};
  return type == torch::kBFloat16
             ? quantize_weights_as<at::BFloat16>(w, format, static_cast<float>(lambda), type)
             : quantize_weights_as<float>(w, format, static_cast<float>(lambda), type);
}

torch::Tensor scaled(const torch::Tensor& m, const torch::Tensor& rows, const torch::Tensor& cols,
                     torch::Dtype type) {
  if (!rows.defined() && !cols.defined()) return m.to(type);
  const torch::Tensor from = m.contiguous();
  torch::Tensor out = torch::empty(from.sizes(), from.options().dtype(type));
  const std::int64_t n = from.size(1);
  const float* by_row = rows.defined() ? rows.data_ptr<float>() : nullptr;
  const bool one = cols.defined() && cols.dim() == 0;
  const float all = one ? cols.item<float>() : 1.0f;
  const float* by_col = cols.defined() && !one ? cols.data_ptr<float>() : nullptr;
  const auto run = [&](const auto* in, auto* to) {
    at::parallel_for(0, from.size(0), grain(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        scale_row(in + r * n, n, by_row == nullptr ? all : by_row[r] * all, by_col, to + r * n);
      }
    });
  };
  const auto run_from = [&](const auto* in) {
    if (type == torch::kBFloat16) {
      run(in, out.data_ptr<at::BFloat16>());
    } else {
      run(in, out.data_ptr<float>());
    }
  };
  if (from.scalar_type() == torch::kBFloat16) {
    run_from(from.data_ptr<at::BFloat16>());
  } else {
    run_from(from.data_ptr<float>());
  }
  return out;
}

torch::Tensor weight_digits(const torch::Tensor& w, const WeightFormat& format) {
  const torch::Tensor weights = w.detach();
  torch::Tensor digits = torch::empty(weights.sizes(), torch::kInt8);
  const std::int64_t cols = weights.size(1);
  const float* from = weights.data_ptr<float>();
  std::int8_t* to = digits.data_ptr<std::int8_t>();
  for_each_run(
      weights, format, [&](std::int64_t r, std::int64_t c, std::int64_t n, const DigitRule& rule) {
        std::int8_t* y = to + r * cols + c;
        rule.each(from + r * cols + c, n,
                  [&](std::int64_t i, float digit) { y[i] = static_cast<std::int8_t>(digit); });
      });
  return digits;
}

}  // namespace tern::train
