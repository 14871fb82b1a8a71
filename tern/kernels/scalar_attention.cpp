// The reference of attention: what every other kernel must equal, bit for bit.
#include "tern/kernels/scalar_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tern/kernels/attention.h"
#include "tern/kernels/scalar_math.h"
#include "tern/tensor/half.h"

namespace tern::kernels::scalar_attention {
namespace {

float f16_at(const std::uint8_t* p, std::size_t i) noexcept {
  std::uint16_t bits;
  std::memcpy(&bits, p + 2 * i, 2);
  return f16_to_float(bits);
}

// Number i of those whose storage begins at p; int4 pairs number i of `half` with i + half.
template <std::size_t kind>
float number(const std::uint8_t* p, std::size_t i, std::size_t half) noexcept {
  switch (static_cast<KvType>(kind)) {
    case KvType::kF32: {
      float value;
      std::memcpy(&value, p + 4 * i, 4);
      return value;
    }
    case KvType::kF16:
      return f16_at(p, i);
    case KvType::kInt8:
      return static_cast<float>(static_cast<std::int8_t>(p[i]));
    case KvType::kInt4:
      break;
  }
  const std::uint8_t byte = p[i / (2 * half) * half + i % half];
  return static_cast<float>((i % (2 * half) < half ? byte & 15 : byte >> 4) - 8);
}

// Bytes of n numbers without their scales.
std::size_t code_bytes(std::size_t kind, std::size_t n) noexcept {
  constexpr std::size_t kEighths[kKvKinds] = {32, 16, 8, 4};
  return n * kEighths[kind] / 8;
}

}  // namespace

void to_f16(const float* x, std::size_t n, std::uint8_t* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t half = float_to_f16(x[i]);
    std::memcpy(out + 2 * i, &half, 2);
  }
}

template <std::size_t kind>
void keys_dot(const std::uint8_t* keys, std::size_t head_dim, std::size_t pieces, const float* q,
              std::size_t rows, float* s, Ahead) noexcept {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < 16 * pieces; ++i) {
      float sum = 0;
      for (std::size_t d = 0; d < head_dim; ++d) {
        const std::uint8_t* dimension = keys + d * code_bytes(kind, kKvBlock);
        sum = std::fma(q[d * rows + r], number<kind>(dimension, i, kKvBlock / 2), sum);
      }
      s[r * kKvBlock + i] = sum;
    }
  }
}

void softmax_rows(float* s, std::size_t rows, const std::size_t* counts, float scale,
                  const std::uint8_t* key_scales, const std::uint8_t* value_scales, float* max,
                  float* length) noexcept {
  for (std::size_t r = 0; r < rows; ++r, s += kKvBlock) {
    float m = -std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < counts[r]; ++i) {
      if (key_scales != nullptr) s[i] = s[i] * f16_at(key_scales, i);
      s[i] = s[i] * scale;
      m = larger(s[i], m);
    }
    Lanes lanes{};
    for (std::size_t i = 0; i < kKvBlock; ++i) {
      s[i] = i < counts[r] ? exp_one(s[i] - m) : 0.0f;
      lanes[i % kLanes] += s[i];
      if (value_scales != nullptr && i < counts[r]) s[i] = s[i] * f16_at(value_scales, i);
    }
    max[r] = m;
    length[r] = tree_sum(lanes);
  }
}

void fold_rows(float* max, float* length, const float* next_max, const float* next_length,
               std::size_t rows, float* fa, float* fb) noexcept {
  for (std::size_t r = 0; r < rows; ++r) {
    const float m = larger(max[r], next_max[r]);
    fa[r] = exp_one(max[r] - m);
    fb[r] = exp_one(next_max[r] - m);
    length[r] = length[r] * fa[r] + next_length[r] * fb[r];
    max[r] = m;
  }
}

template <std::size_t kind>
void values_sum(const float* w, std::size_t rows, std::size_t positions, const std::uint8_t* values,
                std::size_t width, const float* fa, const float* fb, float* o, Ahead) noexcept {
  for (std::size_t d = 0; d < width; ++d) {
    const std::size_t first = d / kValuePanel * kValuePanel;
    const std::size_t panel_width = std::min(kValuePanel, width - first);
    const std::size_t stored = kind == 3 ? (panel_width + 31) / 32 * 32 : panel_width;
    const std::uint8_t* panel = values + kKvBlock * code_bytes(kind, first);
    for (std::size_t r = 0; r < rows; ++r) {
      float sum = 0;
      for (std::size_t i = 0; i < positions; ++i) {
        const std::uint8_t* row = panel + i * code_bytes(kind, stored);
        sum = std::fma(w[r * kKvBlock + i], number<kind>(row, d - first, 16), sum);
      }
      float& out = o[r * width + d];
      out = fa == nullptr ? sum : out * fa[r] + sum * fb[r];
    }
  }
}

void merge(float* a, float fa, const float* b, float fb, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) a[i] = a[i] * fa + b[i] * fb;
}

void divide(const float* a, float by, std::size_t n, float* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) out[i] = a[i] / by + 0.0f;
}

template void keys_dot<0>(const std::uint8_t*, std::size_t, std::size_t, const float*, std::size_t,
                          float*, Ahead) noexcept;
template void values_sum<0>(const float*, std::size_t, std::size_t, const std::uint8_t*,
                            std::size_t, const float*, const float*, float*, Ahead) noexcept;
template void keys_dot<1>(const std::uint8_t*, std::size_t, std::size_t, const float*, std::size_t,
                          float*, Ahead) noexcept;
template void values_sum<1>(const float*, std::size_t, std::size_t, const std::uint8_t*,
                            std::size_t, const float*, const float*, float*, Ahead) noexcept;
template void keys_dot<2>(const std::uint8_t*, std::size_t, std::size_t, const float*, std::size_t,
                          float*, Ahead) noexcept;
template void values_sum<2>(const float*, std::size_t, std::size_t, const std::uint8_t*,
                            std::size_t, const float*, const float*, float*, Ahead) noexcept;
template void keys_dot<3>(const std::uint8_t*, std::size_t, std::size_t, const float*, std::size_t,
                          float*, Ahead) noexcept;
template void values_sum<3>(const float*, std::size_t, std::size_t, const std::uint8_t*,
                            std::size_t, const float*, const float*, float*, Ahead) noexcept;

}  // namespace tern::kernels::scalar_attention
