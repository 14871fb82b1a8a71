// Loops over one row of floats, in vectors of the CPU's width: what every fused operation of the
// trainer is made of. Sums go in 16 lanes and a fixed order, so that results do not depend on the
// CPU. Rows must not overlap unless a function says so.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace tern::train::rows {

// bfloat16 to float, and back, rounded to nearest even.
void widen(const at::BFloat16* in, std::int64_t n, float* out);
void narrow(const float* in, std::int64_t n, at::BFloat16* out);

float absolute_maximum(const float* x, std::int64_t n);
float dot(const float* a, const float* b, std::int64_t n);

// out = in * scale, or in * scale * each; out may be in.
void scale(const float* in, std::int64_t n, float scale, const float* each, float* out);
void widen_levels(const std::int8_t* in, std::int64_t n, float scale, float* out);
// sum += a * b * scale.
void add_product(const float* a, const float* b, float scale, std::int64_t n, float* sum);

// Adding and taking away 1.5 * 2^23 rounds a float below 2^22 to the nearest whole number, ties to
// even, in two instructions that every compiler vectorises.
inline constexpr float kRounder = 12582912.0f;
inline float round_half_even(float v) { return (v + kRounder) - kRounder; }

// x = level = clamp(round_half_even(x * up), -128, 127); and x = x + lambda * (level * down - x).
void levels(float* x, std::int64_t n, float up);
void mix_levels(float* x, std::int64_t n, float up, float down, float lambda);

// out = (x * r) * w; and the gradient of x through it and r = 1 / sqrt(mean(x^2) + eps):
// dx = r * (dy * w - x * pull), pull = r^2 * mean(dy * w * x). dx may be dy.
void norm(const float* x, const float* w, float r, std::int64_t n, float* out);
void norm_backward(const float* x, const float* w, float r, const float* dy, std::int64_t n,
                   float* dx);

// out = max(gate, 0)^2 * up, and silu(gate) * up. Gradients in place of gate and up.
void relu2_gate(const float* gate, const float* up, std::int64_t n, float* out);
void relu2_gate_backward(float* gate, float* up, const float* dy, std::int64_t n);
void silu_gate(const float* gate, const float* up, std::int64_t n, float* out);
void silu_gate_backward(float* gate, float* up, const float* dy, std::int64_t n);

// A head's pairs (i, i + half) turned by their angles, or back (way = -1): y has 2 * half columns.
void turn(const float* x, const float* cos, const float* sin, float way, std::int64_t half,
          float* y);

// d = scale * p * (d - sum).
void softmax_backward(const float* p, float sum, float scale, std::int64_t n, float* d);

// x = exp(x - most); returns the sum. `most` is at least every x; error below 3 ulp of float.
float exp_below(float* x, std::int64_t n, float most);
float maximum(const float* x, std::int64_t n);

// AdamW's numbers of one step (adamw.h): keep = 1 - rate * decay, size = rate / (1 - b1^t),
// root = 1 / sqrt(1 - b2^t).
struct AdamStep {
  float clip, keep, beta1, beta2, size, root, epsilon;
};
void adam_step(const AdamStep& s, const float* gradient, std::int64_t n, float* weight,
               float* exp_avg, float* exp_avg_sq);

}  // namespace tern::train::rows
