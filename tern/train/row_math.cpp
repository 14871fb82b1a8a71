// Plain loops that vectorise.
#include "tern/train/row_math.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "tern/base/vector_clones.h"

namespace tern::train::rows {
namespace {

constexpr std::int64_t kLanes = 16;

inline std::uint16_t to_bf16(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
inline float from_bf16(std::uint16_t v) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16);
}

// exp by powers of two and a polynomial for the fraction (Cody and Waite's reduction), for
// arguments of at most 88; what is below -87 becomes the smallest normal number or nearly so.
inline float exp_of(float x) {
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  const float n = round_half_even(x * kLog2E);
  const float f = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.9875691500e-4f;
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * f * f + f + 1.0f;
  const auto exponent = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23;
  return p * std::bit_cast<float>(exponent);
}

inline float level_of(float x, float up) {
  const float level = round_half_even(x * up);
  const float low = level < -128.0f ? -128.0f : level;
  return low > 127.0f ? 127.0f : low;
}

template <typename Term>
inline float lane_sum(std::int64_t n, Term&& term) {
  std::array<float, kLanes> lanes{};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) lanes[static_cast<std::size_t>(j)] += term(i + j);
  }
  for (; i < n; ++i) lanes[static_cast<std::size_t>(i % kLanes)] += term(i);
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

template <typename Term>
inline float lane_maximum(std::int64_t n, float least, Term&& term) {
  std::array<float, kLanes> lanes;
  lanes.fill(least);
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::int64_t j = 0; j < kLanes; ++j) {
      float& lane = lanes[static_cast<std::size_t>(j)];
      const float v = term(i + j);
      lane = v > lane ? v : lane;
    }
  }
  float most = least;
  for (const float lane : lanes) most = std::max(most, lane);
  for (; i < n; ++i) most = std::max(most, term(i));
  return most;
}

}  // namespace

TERN_VECTOR_CLONES
void widen(const at::BFloat16* in, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = from_bf16(in[i].x);
}

TERN_VECTOR_CLONES
void narrow(const float* in, std::int64_t n, at::BFloat16* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i].x = to_bf16(in[i]);
}

TERN_VECTOR_CLONES
float absolute_maximum(const float* x, std::int64_t n) {
  return lane_maximum(n, 0.0f, [&](std::int64_t i) { return std::fabs(x[i]); });
}

TERN_VECTOR_CLONES
float maximum(const float* x, std::int64_t n) {
  return lane_maximum(n, x[0], [&](std::int64_t i) { return x[i]; });
}

TERN_VECTOR_CLONES
float dot(const float* a, const float* b, std::int64_t n) {
  return lane_sum(n, [&](std::int64_t i) { return a[i] * b[i]; });
}

TERN_VECTOR_CLONES
void scale(const float* in, std::int64_t n, float scale, const float* each, float* out) {
  if (each == nullptr) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = in[i] * scale;
  } else {
    for (std::int64_t i = 0; i < n; ++i) out[i] = in[i] * scale * each[i];
  }
}

TERN_VECTOR_CLONES
void widen_levels(const std::int8_t* in, std::int64_t n, float scale, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(in[i]) * scale;
}

TERN_VECTOR_CLONES
void add_product(const float* a, const float* b, float scale, std::int64_t n, float* sum) {
  for (std::int64_t i = 0; i < n; ++i) sum[i] += a[i] * b[i] * scale;
}

TERN_VECTOR_CLONES
void levels(float* x, std::int64_t n, float up) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = level_of(x[i], up);
}

TERN_VECTOR_CLONES
void mix_levels(float* x, std::int64_t n, float up, float down, float lambda) {
  for (std::int64_t i = 0; i < n; ++i) {
    x[i] = x[i] + lambda * (level_of(x[i], up) * down - x[i]);
  }
}

TERN_VECTOR_CLONES
void norm(const float* x, const float* w, float r, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = x[i] * r * w[i];
}

TERN_VECTOR_CLONES
void norm_backward(const float* x, const float* w, float r, const float* dy, std::int64_t n,
                   float* dx) {
  const float sum = lane_sum(n, [&](std::int64_t i) { return dy[i] * w[i] * x[i]; });
  const float pull = r * r * sum / static_cast<float>(n);
  for (std::int64_t i = 0; i < n; ++i) dx[i] = r * (dy[i] * w[i] - x[i] * pull);
}

TERN_VECTOR_CLONES
void relu2_gate(const float* gate, const float* up, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float r = gate[i] > 0 ? gate[i] : 0;
    out[i] = r * r * up[i];
  }
}

TERN_VECTOR_CLONES
void relu2_gate_backward(float* gate, float* up, const float* dy, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float r = gate[i] > 0 ? gate[i] : 0;
    gate[i] = 2 * r * up[i] * dy[i];
    up[i] = r * r * dy[i];
  }
}

TERN_VECTOR_CLONES
void silu_gate(const float* gate, const float* up, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0f + exp_of(-gate[i])) * up[i];
}

// silu' = s (1 + g (1 - s)) with s = 1 / (1 + exp(-g)).
TERN_VECTOR_CLONES
void silu_gate_backward(float* gate, float* up, const float* dy, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = gate[i];
    const float s = 1.0f / (1.0f + exp_of(-g));
    gate[i] = s * (1.0f + g * (1.0f - s)) * up[i] * dy[i];
    up[i] = g * s * dy[i];
  }
}

TERN_VECTOR_CLONES
void turn(const float* x, const float* cos, const float* sin, float way, std::int64_t half,
          float* y) {
  for (std::int64_t i = 0; i < half; ++i) y[i] = x[i] * cos[i] - way * x[i + half] * sin[i];
  for (std::int64_t i = 0; i < half; ++i) y[i + half] = x[i + half] * cos[i] + way * x[i] * sin[i];
}

TERN_VECTOR_CLONES
void softmax_backward(const float* p, float sum, float scale, std::int64_t n, float* d) {
  for (std::int64_t i = 0; i < n; ++i) d[i] = scale * p[i] * (d[i] - sum);
}

TERN_VECTOR_CLONES
float exp_below(float* x, std::int64_t n, float most) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = exp_of(x[i] - most);
  return lane_sum(n, [&](std::int64_t i) { return x[i]; });
}

TERN_VECTOR_CLONES
void adam_step(const AdamStep& s, const float* gradient, std::int64_t n, float* weight,
               float* exp_avg, float* exp_avg_sq) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] * s.clip;
    const float m = exp_avg[i] * s.beta1 + g * (1.0f - s.beta1);
    const float v = exp_avg_sq[i] * s.beta2 + g * g * (1.0f - s.beta2);
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    weight[i] = weight[i] * s.keep - s.size * m / (std::sqrt(v) * s.root + s.epsilon);
  }
}

}  // namespace tern::train::rows
