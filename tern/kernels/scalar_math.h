// Pieces of the scalar reference that several of its files use. Not for ISA files.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tern/kernels/float_math.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {

// Maxima are taken as a > b ? a : b in 16 lanes and the tree of the sums.
inline float larger(float a, float b) noexcept { return a > b ? a : b; }

using Lanes = std::array<float, kLanes>;

inline float tree_sum(Lanes lanes) noexcept {
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t l = 0; l < width; ++l) lanes[l] = lanes[l] + lanes[l + width];
  }
  return lanes[0];
}

inline float exp_one(float x) noexcept {
  x = x < kExpLow ? kExpLow : x;  // A NaN passes both comparisons.
  x = x > kExpHigh ? kExpHigh : x;
  const float t = std::fma(x, kLog2E, kRoundMagic);
  const std::int32_t n = std::bit_cast<std::int32_t>(t) - kRoundMagicBits;
  const float whole = t - kRoundMagic;
  float r = std::fma(whole, kMinusLn2High, x);
  r = std::fma(whole, kMinusLn2Low, r);
  float q = kExpQ[5];
  for (int i = 4; i >= 0; --i) q = std::fma(q, r, kExpQ[i]);
  const float p = std::fma(r * r, q, r) + 1.0f;
  // Unsigned, because a NaN's n is anything.
  const std::int32_t half = n >> 1;
  const auto low = static_cast<std::uint32_t>(half);
  const auto high = static_cast<std::uint32_t>(n) - low;
  return p * std::bit_cast<float>((low + 127) << 23) * std::bit_cast<float>((high + 127) << 23);
}

}  // namespace tern::kernels
