// The float32 exponential that every instruction set computes step by step alike, and the magic
// numbers of rounding. Constants only, with internal linkage (ISA objects include this): the steps
// stand in scalar.cpp and in lanes16.h.
#pragma once

#include <cstdint>

namespace tern::kernels {

// t = fma(x, log2 e, kRoundMagic) holds round_half_even(x log2 e) in its low bits.
constexpr float kRoundMagic = 0x1.8p+23f;
constexpr std::int32_t kRoundMagicBits = 0x4b400000;

// exp(x): x clamped to [kExpLow, kExpHigh] (0 below, infinity above), n = round(x log2 e),
// r = x - n ln 2 in two fused steps, 1 + r + r^2 q(r) with q fitted to (e^r - 1 - r) / r^2 on
// |r| <= ln 2 / 2 (Chebyshev nodes, error 0.013 units of 2^-24), times 2^(n/2) and 2^(n - n/2).
constexpr float kExpLow = -104.0f;
constexpr float kExpHigh = 89.0f;
constexpr float kLog2E = 0x1.715476p+0f;
constexpr float kMinusLn2High = -0x1.62e43p-1f;
constexpr float kMinusLn2Low = 0x1.05c61p-29f;
constexpr float kExpQ[6] = {0x1.0p-1f,     0x1.555556p-3f, 0x1.5554e8p-5f,
                            0x1.1110ep-7f, 0x1.6d43bp-10f, 0x1.a1256cp-13f};

}  // namespace tern::kernels
