// NEON with the dot product instructions (ARMv8.2); with TERN_NEON_I8MM (neon_i8mm.cpp) also the
// products of small matrices, for prompts. Runs only where the table's supported() says so.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "tern/kernels/float_math.h"
#include "tern/kernels/kernel_table.h"
#include "tern/kernels/sliced_kernels.h"

namespace tern::kernels {
namespace {

constexpr std::size_t kPrefetchBytes = 4096;  // How far ahead weights are asked for.
constexpr std::size_t kTileRows = 2;          // Of dot_lanes: 16 sums in registers.
constexpr std::size_t kTileTokens = 2;
constexpr std::size_t kAttendPieces = 1;  // Of 16, for kAttendRows rows: 24 sums in registers.

// 16 floats in four registers. The list of what lanes16.h asks for is in avx2_lanes.h.
struct Lanes16 {
  float32x4_t v[4];

  static Lanes16 set1(float x) {
    const float32x4_t all = vdupq_n_f32(x);
    return {{all, all, all, all}};
  }
  static Lanes16 zero() { return set1(0.0f); }
  static Lanes16 load(const void* p) {
    // By bytes, because the address may be odd.
    const auto* b = static_cast<const std::uint8_t*>(p);
    return {{quarter(b), quarter(b + 16), quarter(b + 32), quarter(b + 48)}};
  }
  static Lanes16 load_part(const void* p, std::size_t n) {
    float room[16] = {};
    __builtin_memcpy(room, p, n * sizeof(float));
    return load(room);
  }
  void store(float* p) const {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, v[i]);
  }
  void store_part(float* p, std::size_t n) const {
    float room[16];
    store(room);
    __builtin_memcpy(p, room, n * sizeof(float));
  }

  static Lanes16 from_f16(const void* p) {
    const auto* b = static_cast<const std::uint8_t*>(p);
    Lanes16 out;
    for (int i = 0; i < 4; ++i) out.v[i] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(b + 8 * i)));
    return out;
  }
  static Lanes16 from_f16_part(const void* p, std::size_t n) {
    std::uint16_t room[16] = {};
    __builtin_memcpy(room, p, n * 2);
    return from_f16(room);
  }
  static Lanes16 from_bf16(const void* p) {
    const auto* b = static_cast<const std::uint8_t*>(p);
    Lanes16 out;
    for (int i = 0; i < 4; ++i) {
      const uint16x4_t halves = vreinterpret_u16_u8(vld1_u8(b + 8 * i));
      out.v[i] = vreinterpretq_f32_u32(vshll_n_u16(halves, 16));
    }
    return out;
  }
  static Lanes16 from_bf16_part(const void* p, std::size_t n) {
    std::uint16_t room[16] = {};
    __builtin_memcpy(room, p, n * 2);
    return from_bf16(room);
  }
  static Lanes16 from_i8(const std::int8_t* p) { return from_codes(vld1q_s8(p)); }
  static Lanes16 from_low4(const std::uint8_t* p) {
    return from_codes(less_8(vandq_u8(vld1q_u8(p), vdupq_n_u8(15))));
  }
  static Lanes16 from_high4(const std::uint8_t* p) {
    return from_codes(less_8(vshrq_n_u8(vld1q_u8(p), 4)));
  }
  static Lanes16 broadcast(const float* p) { return set1(*p); }
  void store_f16(void* p) const {
    auto* b = static_cast<std::uint8_t*>(p);
    for (int i = 0; i < 4; ++i) vst1_u8(b + 8 * i, vreinterpret_u8_f16(vcvt_f16_f32(v[i])));
  }

 private:
  static int8x16_t less_8(uint8x16_t nibbles) {
    return vsubq_s8(vreinterpretq_s8_u8(nibbles), vdupq_n_s8(8));
  }
  static Lanes16 from_codes(int8x16_t codes) {
    const int16x8_t low = vmovl_s8(vget_low_s8(codes)), high = vmovl_high_s8(codes);
    return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
             vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))}};
  }
  static float32x4_t quarter(const std::uint8_t* p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
};

Lanes16 add(Lanes16 a, Lanes16 b) {
  for (int i = 0; i < 4; ++i) a.v[i] = vaddq_f32(a.v[i], b.v[i]);
  return a;
}
Lanes16 sub(Lanes16 a, Lanes16 b) {
  for (int i = 0; i < 4; ++i) a.v[i] = vsubq_f32(a.v[i], b.v[i]);
  return a;
}
Lanes16 mul(Lanes16 a, Lanes16 b) {
  for (int i = 0; i < 4; ++i) a.v[i] = vmulq_f32(a.v[i], b.v[i]);
  return a;
}
Lanes16 div(Lanes16 a, Lanes16 b) {
  for (int i = 0; i < 4; ++i) a.v[i] = vdivq_f32(a.v[i], b.v[i]);
  return a;
}
Lanes16 fma(Lanes16 a, Lanes16 b, Lanes16 c) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) c.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
  return c;
}
// a > b ? a : b, as x86 has it: vmaxq_f32 would give a NaN where one is a NaN.
float32x4_t larger4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
float32x4_t smaller4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
Lanes16 larger(Lanes16 a, Lanes16 b) {
  for (int i = 0; i < 4; ++i) a.v[i] = larger4(a.v[i], b.v[i]);
  return a;
}
Lanes16 smaller(Lanes16 a, Lanes16 b) {
  for (int i = 0; i < 4; ++i) a.v[i] = smaller4(a.v[i], b.v[i]);
  return a;
}
Lanes16 magnitude(Lanes16 a) {
  for (int i = 0; i < 4; ++i) a.v[i] = vabsq_f32(a.v[i]);
  return a;
}
Lanes16 negate(Lanes16 a) {
  for (int i = 0; i < 4; ++i) a.v[i] = vnegq_f32(a.v[i]);
  return a;
}

Lanes16 scale_by_power(Lanes16 p, Lanes16 t) {
  const int32x4_t bias = vdupq_n_s32(127);
  for (int i = 0; i < 4; ++i) {
    const int32x4_t n = vsubq_s32(vreinterpretq_s32_f32(t.v[i]), vdupq_n_s32(kRoundMagicBits));
    const int32x4_t low = vshrq_n_s32(n, 1);
    const int32x4_t high = vsubq_s32(n, low);
    const float32x4_t a = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(low, bias), 23));
    const float32x4_t b = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(high, bias), 23));
    p.v[i] = vmulq_f32(vmulq_f32(p.v[i], a), b);
  }
  return p;
}

float tree_sum(Lanes16 lanes) {
  const float32x4_t by4 =
      vaddq_f32(vaddq_f32(lanes.v[0], lanes.v[2]), vaddq_f32(lanes.v[1], lanes.v[3]));
  const float32x2_t by2 = vadd_f32(vget_low_f32(by4), vget_high_f32(by4));
  return vget_lane_f32(by2, 0) + vget_lane_f32(by2, 1);
}

float tree_max(Lanes16 lanes) {
  const float32x4_t by4 = larger4(larger4(lanes.v[0], lanes.v[2]), larger4(lanes.v[1], lanes.v[3]));
  const float32x4_t by2 = larger4(by4, vextq_f32(by4, by4, 2));
  return vgetq_lane_f32(larger4(by2, vextq_f32(by2, by2, 1)), 0);
}

float f16_one(const std::uint8_t* p) {
  const auto bits = static_cast<std::uint16_t>(p[0] | (p[1] << 8));
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits))), 0);
}

void q4_codes(const std::uint8_t* p, std::int8_t* codes) {
  const uint8x16_t bytes = vld1q_u8(p);
  const int8x16_t offset = vdupq_n_s8(8);
  const uint8x16_t low = vandq_u8(bytes, vdupq_n_u8(15));
  vst1q_s8(codes, vsubq_s8(vreinterpretq_s8_u8(low), offset));
  vst1q_s8(codes + 16, vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4)), offset));
}

// 16 weights at a time, four groups of them from the same 16 bytes of high bits (dense_row.h).
void q6k_codes(const std::uint8_t* p, std::int8_t* codes) {
  const uint8x16_t nibble = vdupq_n_u8(15), bits45 = vdupq_n_u8(0x30);
  const auto put = [&](std::int8_t* to, uint8x16_t low, uint8x16_t high) {
    const uint8x16_t code = vorrq_u8(low, vandq_u8(high, bits45));
    vst1q_s8(to, vsubq_s8(vreinterpretq_s8_u8(code), vdupq_n_s8(32)));
  };
  for (int h = 0; h < 2; ++h, codes += 128) {
    for (int l = 0; l < 32; l += 16) {
      const uint8x16_t a = vld1q_u8(p + 64 * h + l);
      const uint8x16_t b = vld1q_u8(p + 64 * h + 32 + l);
      const uint8x16_t high = vld1q_u8(p + 128 + 32 * h + l);
      put(codes + l, vandq_u8(a, nibble), vshlq_n_u8(high, 4));
      put(codes + 32 + l, vandq_u8(b, nibble), vshlq_n_u8(high, 2));
      put(codes + 64 + l, vshrq_n_u8(a, 4), high);
      put(codes + 96 + l, vshrq_n_u8(b, 4), vshrq_n_u8(high, 2));
    }
  }
}

}  // namespace
}  // namespace tern::kernels

#include "tern/kernels/attention_lanes.h"
#include "tern/kernels/lanes16.h"

namespace tern::kernels {
namespace {

// 16 bytes of codes, field f of them, as numbers 0..2.
template <int f>
int8x16_t field(uint8x16_t packed) {
  if constexpr (f == 0) return vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(3)));
  if constexpr (f == 3) return vreinterpretq_s8_u8(vshrq_n_u8(packed, 6));
  if constexpr (f == 1 || f == 2) {
    return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(packed, 2 * f), vdupq_n_u8(3)));
  }
}

struct FourPerByte {};

// sum[i] += codes of rows 4 i .. 4 i + 3 times activations 4 f .. 4 f + 3 of a block.
template <int f>
void dot_field(int32x4_t* sum, const uint8x16_t* w, int8x16_t x) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) sum[i] = vdotq_laneq_s32(sum[i], field<f>(w[i]), x, f);
}

template <typename Layout, std::size_t tokens>
void gemv_tile(const Layout&, const std::uint8_t* w, std::size_t blocks, const std::int8_t* x,
               std::size_t x_stride, std::int32_t* y) {
  int32x4_t even[tokens][4], odd[tokens][4];  // Of fields: two chains of sums each.
  for (std::size_t t = 0; t < tokens; ++t) {
    for (int i = 0; i < 4; ++i) even[t][i] = odd[t][i] = vdupq_n_s32(0);
  }
  for (std::size_t b = 0; b < blocks; ++b, w += 64, x += 16) {
    __builtin_prefetch(w + kPrefetchBytes);
    const uint8x16_t rows[4] = {vld1q_u8(w), vld1q_u8(w + 16), vld1q_u8(w + 32), vld1q_u8(w + 48)};
#pragma GCC unroll 4
    for (std::size_t t = 0; t < tokens; ++t) {
      const int8x16_t xv = vld1q_s8(x + t * x_stride);
      dot_field<0>(even[t], rows, xv);
      dot_field<1>(odd[t], rows, xv);
      dot_field<2>(even[t], rows, xv);
      dot_field<3>(odd[t], rows, xv);
    }
  }
  for (std::size_t t = 0; t < tokens; ++t, y += 16) {
    for (int i = 0; i < 4; ++i) vst1q_s32(y + 4 * i, vaddq_s32(even[t][i], odd[t][i]));
  }
}

std::int32_t reduce(int32x4_t v) { return vaddvq_s32(v); }

#if defined(TERN_NEON_I8MM)
// An instruction multiplies 2 rows by 8 columns with 8 columns by 2 tokens, so this table's codes
// lie in pairs of steps: rows 2 j and 2 j + 1, 8 columns each, at 16 j; 0..7 where the first step
// of the pair would be, 8..15 where the second would.
void unpack_pair(uint8x16_t first, uint8x16_t second, std::uint8_t* out) {
  const uint32x4_t a = vreinterpretq_u32_u8(first), b = vreinterpretq_u32_u8(second);
  vst1q_u8(out, vreinterpretq_u8_u32(vzip1q_u32(a, b)));
  vst1q_u8(out + 16, vreinterpretq_u8_u32(vzip2q_u32(a, b)));
}

void ternary_unpack(const std::uint8_t* w, std::size_t blocks, std::uint8_t* codes,
                    std::size_t step_bytes) noexcept {
  for (std::size_t b = 0; b < blocks; ++b, w += 64, codes += 4 * step_bytes) {
    for (std::size_t j = 0; j < 4; ++j) {
      const uint8x16_t packed = vld1q_u8(w + 16 * j);
      std::uint8_t* out = codes + j / 2 * step_bytes + j % 2 * 32;
      unpack_pair(vreinterpretq_u8_s8(field<0>(packed)), vreinterpretq_u8_s8(field<1>(packed)),
                  out);
      unpack_pair(vreinterpretq_u8_s8(field<2>(packed)), vreinterpretq_u8_s8(field<3>(packed)),
                  out + 2 * step_bytes);
    }
  }
}

constexpr std::size_t kGemmTokens = 6;  // 24 sums of 2 by 2, 3 pairs of tokens, a pair of rows.

// 8 activations of two tokens; of the last one twice where it has no second.
int8x16_t token_pair(const std::int8_t* x, std::size_t x_stride, bool second) {
  const int8x8_t first = vld1_s8(x);
  return vcombine_s8(first, second ? vld1_s8(x + x_stride) : first);
}

// Tile by tile: 32 registers hold the sums of one.
template <std::size_t tiles, std::size_t tokens>
void gemm_tile(const std::uint8_t* codes, std::size_t steps, const std::int8_t* x,
               std::size_t x_stride, std::int32_t* y, std::size_t y_stride) {
  constexpr std::size_t kPairs = (tokens + 1) / 2;
  for (std::size_t tile = 0; tile < tiles; ++tile, y += 16) {
    int32x4_t sum[kPairs][8];  // Row 0 with token 0, with token 1; row 1 likewise.
#pragma GCC unroll 3
    for (std::size_t p = 0; p < kPairs; ++p) {
#pragma GCC unroll 8
      for (std::size_t j = 0; j < 8; ++j) sum[p][j] = vdupq_n_s32(0);
    }
    for (std::size_t s = 0; s < steps; s += 2) {
      int8x16_t xv[kPairs];
#pragma GCC unroll 3
      for (std::size_t p = 0; p < kPairs; ++p) {
        xv[p] = token_pair(x + 2 * p * x_stride + 4 * s, x_stride, 2 * p + 1 < tokens);
      }
      const std::uint8_t* step = codes + (s * tiles + tile) * 64;
#pragma GCC unroll 8
      for (std::size_t j = 0; j < 8; ++j) {
        const std::uint8_t* at = step + j / 4 * tiles * 64 + j % 4 * 16;
        const int8x16_t wv = vreinterpretq_s8_u8(vld1q_u8(at));
#pragma GCC unroll 3
        for (std::size_t p = 0; p < kPairs; ++p) sum[p][j] = vmmlaq_s32(sum[p][j], wv, xv[p]);
        // Keeps g++ 12 from loading everything first, which spills sums.
        if (j % 2 == 1) asm volatile("" ::: "memory");
      }
    }
#pragma GCC unroll 3
    for (std::size_t p = 0; p < kPairs; ++p) {
#pragma GCC unroll 4
      for (std::size_t i = 0; i < 4; ++i) {
        std::int32_t* out = y + 2 * p * y_stride + 4 * i;
        const int32x4_t a = sum[p][2 * i], b = sum[p][2 * i + 1];
        vst1q_s32(out, vaddq_s32(vld1q_s32(out), vuzp1q_s32(a, b)));
        if (2 * p + 1 == tokens) continue;
        out += y_stride;
        vst1q_s32(out, vaddq_s32(vld1q_s32(out), vuzp2q_s32(a, b)));
      }
    }
  }
}
#else
void ternary_unpack(const std::uint8_t* w, std::size_t blocks, std::uint8_t* codes,
                    std::size_t step_bytes) noexcept {
  for (std::size_t b = 0; b < blocks; ++b, w += 64, codes += 4 * step_bytes) {
    for (std::size_t j = 0; j < 64; j += 16) {
      const uint8x16_t packed = vld1q_u8(w + j);
      auto* out = reinterpret_cast<std::int8_t*>(codes + j);
      vst1q_s8(out, field<0>(packed));
      vst1q_s8(out + step_bytes, field<1>(packed));
      vst1q_s8(out + 2 * step_bytes, field<2>(packed));
      vst1q_s8(out + 3 * step_bytes, field<3>(packed));
    }
  }
}

constexpr std::size_t kGemmTokens = 6;  // 24 sums, 4 weights and an activation in 32 registers.

// Tile by tile: 32 registers hold the sums of one.
template <std::size_t tiles, std::size_t tokens>
void gemm_tile(const std::uint8_t* codes, std::size_t steps, const std::int8_t* x,
               std::size_t x_stride, std::int32_t* y, std::size_t y_stride) {
  for (std::size_t tile = 0; tile < tiles; ++tile, y += 16) {
    int32x4_t sum[tokens][4];
#pragma GCC unroll 6
    for (std::size_t t = 0; t < tokens; ++t) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) sum[t][i] = vld1q_s32(y + t * y_stride + 4 * i);
    }
    for (std::size_t s = 0; s < steps; ++s) {
      const std::uint8_t* step = codes + (s * tiles + tile) * 64;
      int8x16_t wv[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) wv[i] = vreinterpretq_s8_u8(vld1q_u8(step + 16 * i));
#pragma GCC unroll 6
      for (std::size_t t = 0; t < tokens; ++t) {
        std::int32_t four;
        __builtin_memcpy(&four, x + t * x_stride + 4 * s, 4);
        const int8x16_t xv = vreinterpretq_s8_s32(vdupq_n_s32(four));
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) sum[t][i] = vdotq_s32(sum[t][i], wv[i], xv);
        asm volatile("" ::: "memory");  // As above: one activation at a time.
      }
    }
#pragma GCC unroll 6
    for (std::size_t t = 0; t < tokens; ++t) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) vst1q_s32(y + t * y_stride + 4 * i, sum[t][i]);
    }
  }
}
#endif

}  // namespace
}  // namespace tern::kernels

#include "tern/kernels/ternary_lanes.h"

namespace tern::kernels {
namespace {

void quantize(const float* x, std::size_t n, float s, std::int8_t* q) noexcept {
  const Lanes16 scale = Lanes16::set1(s), magic = Lanes16::set1(kRoundMagic);
  const int32x4_t magic_bits = vdupq_n_s32(kRoundMagicBits);
  for (std::size_t i = 0; i < n; i += 16) {
    const std::size_t count = n - i < 16 ? n - i : 16;
    const Lanes16 v = count == 16 ? Lanes16::load(x + i) : Lanes16::load_part(x + i, count);
    const Lanes16 shifted = add(mul(v, scale), magic);
    int16x4_t words[4];  // Narrowing saturates.
    for (int j = 0; j < 4; ++j) {
      words[j] = vqmovn_s32(vsubq_s32(vreinterpretq_s32_f32(shifted.v[j]), magic_bits));
    }
    std::int8_t bytes[16];
    vst1_s8(bytes, vqmovn_s16(vcombine_s16(words[0], words[1])));
    vst1_s8(bytes + 8, vqmovn_s16(vcombine_s16(words[2], words[3])));
    __builtin_memcpy(q + i, bytes, count);
  }
}

void field_sums(const std::int8_t* q, std::size_t fields, std::int32_t* sums) noexcept {
  const int8x16_t ones = vdupq_n_s8(1);
  for (std::size_t f = 0; f < fields; ++f) {
    int32x4_t sum = vdupq_n_s32(0);
    for (std::size_t j = 0; j < 64; j += 16) sum = vdotq_s32(sum, vld1q_s8(q + 64 * f + j), ones);
    sums[f] = reduce(sum);
  }
}

std::uint64_t read_xor(const std::uint8_t* p, std::size_t bytes, std::size_t streams,
                       std::size_t ahead) noexcept {
  uint8x16_t sum[4];
  for (uint8x16_t& s : sum) s = vdupq_n_u8(0);
  for (std::size_t i = 0; i + 64 <= bytes; i += 64) {
    for (std::size_t stream = 0; stream < streams; ++stream) {
      const std::uint8_t* from = p + stream * bytes + i;
      if (ahead != 0) __builtin_prefetch(from + ahead);
      for (std::size_t j = 0; j < 4; ++j) sum[j] = veorq_u8(sum[j], vld1q_u8(from + 16 * j));
    }
  }
  const uint64x2_t all =
      vreinterpretq_u64_u8(veorq_u8(veorq_u8(sum[0], sum[1]), veorq_u8(sum[2], sum[3])));
  return vgetq_lane_u64(all, 0) ^ vgetq_lane_u64(all, 1);
}

constexpr std::size_t kChains = 16;
#if defined(TERN_NEON_I8MM)
constexpr std::size_t kMacs = 32;
int32x4_t products(int32x4_t sum, int8x16_t a, int8x16_t b) { return vmmlaq_s32(sum, a, b); }
#else
constexpr std::size_t kMacs = 16;
int32x4_t products(int32x4_t sum, int8x16_t a, int8x16_t b) { return vdotq_s32(sum, a, b); }
#endif

std::int32_t int8_steps(std::size_t steps) noexcept {
  int8x16_t a = vdupq_n_s8(1);
  const int8x16_t b = vdupq_n_s8(1);
  int32x4_t sum[kChains];
  for (int32x4_t& s : sum) s = vdupq_n_s32(0);
  for (std::size_t i = 0; i < steps; ++i) {
    asm volatile("" : "+w"(a));  // Keeps the compiler from knowing the product.
    for (int32x4_t& s : sum) s = products(s, a, b);
  }
  int32x4_t all = sum[0];
  for (std::size_t i = 1; i < kChains; ++i) all = vaddq_s32(all, sum[i]);
  return reduce(all);
}

constexpr KernelTable kTable{
#if defined(TERN_NEON_I8MM)
    .name = "neon_i8mm",
    .supported = cpu_has_neon_i8mm,
#else
    .name = "neon",
    .supported = cpu_has_neon_dotprod,
#endif
    .ternary_gemv = {ternary_gemv<FourPerByte>, nullptr},
    .packed_tokens = kGemvTokens,
    .ternary_groups = ternary_groups,
    .ternary_unpack = {ternary_unpack, nullptr},
    .codes_gemm = codes_gemm,
    .absmax = absmax,
    .quantize = quantize,
    .field_sums = field_sums,
    .dot_lanes = dot_lanes,
    .expand = {expand_elements<ElementF32>, expand_elements<ElementF16>,
               expand_elements<ElementBF16>, expand_blocks<BlockQ8_0>, expand_blocks<BlockQ6_K>,
               expand_blocks<BlockQ4_0>},
    .dense_gemv = {gemv_elements<ElementF32>, gemv_elements<ElementF16>, gemv_elements<ElementBF16>,
                   gemv_blocks<BlockQ8_0>, gemv_blocks<BlockQ6_K>, gemv_blocks<BlockQ4_0>},
    .exp = exp_all,
    .norm_scale = norm_scale,
    .silu_mul = silu_mul,
    .relu2_mul = relu2_mul,
    .add = add_all,
    .rope = rope,
    .to_f16 = to_f16,
    .keys_dot = {keys_dot<KvF32>, keys_dot<KvF16>, keys_dot<KvInt8>, keys_dot<KvInt4>},
    .softmax_rows = softmax_rows,
    .fold_rows = fold_rows,
    .values_sum = {values_sum<KvF32>, values_sum<KvF16>, values_sum<KvInt8>, values_sum<KvInt4>},
    .merge = merge,
    .divide = divide,
    .read_xor = read_xor,
    .int8_steps = int8_steps,
    .int8_macs_per_step = kMacs * kChains,
    .sliced = &kSlicedNeonDotprod,
};

}  // namespace

#if defined(TERN_NEON_I8MM)
constinit const KernelTable kNeonI8mm = kTable;
#else
constinit const KernelTable kNeonDotprod = kTable;
#endif

}  // namespace tern::kernels
