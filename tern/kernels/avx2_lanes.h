// 16 floats in two AVX2 registers, and the other pieces that avx2.cpp and avxvnni.cpp share. Built
// with -mavx2 -mfma -mf16c; included by those two only. Everything has internal linkage.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "tern/kernels/float_math.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

// What lanes16.h asks of an instruction set:
constexpr std::size_t kPrefetchBytes = 8192;  // How far ahead dense weights are asked for.
constexpr std::size_t kStreamAhead = 1024;    // And a tile of ternary ones.
constexpr std::size_t kTileRows = 2;          // Of dot_lanes: the sums stay in registers.
constexpr std::size_t kTileTokens = 2;
constexpr std::size_t kAttendPieces =
    1;  // Of 16, for kAttendRows rows: the sums stay in registers.

// 16 floats: loads and stores at any alignment, `_part` of the first n < 16 with +0 elsewhere.
struct Lanes16 {
  __m256 low, high;

  static Lanes16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Lanes16 set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Lanes16 load(const void* p) {
    const auto* f = static_cast<const float*>(p);
    return {_mm256_loadu_ps(f), _mm256_loadu_ps(f + 8)};
  }
  static Lanes16 load_part(const void* p, std::size_t n) {
    float room[16] = {};
    __builtin_memcpy(room, p, n * sizeof(float));
    return load(room);
  }
  void store(float* p) const {
    _mm256_storeu_ps(p, low);
    _mm256_storeu_ps(p + 8, high);
  }
  void store_part(float* p, std::size_t n) const {
    float room[16];
    store(room);
    __builtin_memcpy(p, room, n * sizeof(float));
  }

  static Lanes16 from_f16(const void* p) {
    const auto* h = static_cast<const __m128i*>(p);
    return {_mm256_cvtph_ps(_mm_loadu_si128(h)), _mm256_cvtph_ps(_mm_loadu_si128(h + 1))};
  }
  static Lanes16 from_f16_part(const void* p, std::size_t n) {
    std::uint16_t room[16] = {};
    __builtin_memcpy(room, p, n * 2);
    return from_f16(room);
  }
  static Lanes16 from_bf16(const void* p) {
    const auto* h = static_cast<const __m128i*>(p);
    return {widen(_mm_loadu_si128(h)), widen(_mm_loadu_si128(h + 1))};
  }
  static Lanes16 from_bf16_part(const void* p, std::size_t n) {
    std::uint16_t room[16] = {};
    __builtin_memcpy(room, p, n * 2);
    return from_bf16(room);
  }
  static Lanes16 from_i8(const std::int8_t* p) {
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(codes, codes)))};
  }
  // The low or the high four bits of 16 bytes, less 8.
  static Lanes16 from_low4(const std::uint8_t* p) { return from_nibbles<0>(p); }
  static Lanes16 from_high4(const std::uint8_t* p) { return from_nibbles<4>(p); }
  // *p in all lanes, as a value that the compiler does not fold into each of its uses.
  static Lanes16 broadcast(const float* p) {
    __m256 v = _mm256_broadcast_ss(p);
    asm("" : "+x"(v));
    return {v, v};
  }
  void store_f16(void* p) const {
    auto* h = static_cast<__m128i*>(p);
    _mm_storeu_si128(h, _mm256_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128(h + 1, _mm256_cvtps_ph(high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

 private:
  template <int shift>
  static Lanes16 from_nibbles(const std::uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i nibbles = _mm_and_si128(_mm_srli_epi16(bytes, shift), _mm_set1_epi8(15));
    const __m128i codes = _mm_sub_epi8(nibbles, _mm_set1_epi8(8));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(codes, codes)))};
  }
  static __m256 widen(__m128i bf16) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bf16), 16));
  }
};

Lanes16 add(Lanes16 a, Lanes16 b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
Lanes16 sub(Lanes16 a, Lanes16 b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
Lanes16 mul(Lanes16 a, Lanes16 b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
Lanes16 div(Lanes16 a, Lanes16 b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
Lanes16 fma(Lanes16 a, Lanes16 b, Lanes16 c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
// a > b ? a : b and a < b ? a : b: the second where one is a NaN.
Lanes16 larger(Lanes16 a, Lanes16 b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
Lanes16 smaller(Lanes16 a, Lanes16 b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
Lanes16 magnitude(Lanes16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
Lanes16 negate(Lanes16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(sign, a.low), _mm256_xor_ps(sign, a.high)};
}

__m256 scale_half_by_power(__m256 p, __m256 t) {
  const __m256i n = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(kRoundMagicBits));
  const __m256i low = _mm256_srai_epi32(n, 1);
  const __m256i high = _mm256_sub_epi32(n, low);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256 a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(low, bias), 23));
  const __m256 b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(high, bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(p, a), b);
}
// p * 2^n, n in the low bits of t as float_math.h has it.
Lanes16 scale_by_power(Lanes16 p, Lanes16 t) {
  return {scale_half_by_power(p.low, t.low), scale_half_by_power(p.high, t.high)};
}

float tree_sum(Lanes16 lanes) {
  const __m256 by8 = _mm256_add_ps(lanes.low, lanes.high);
  const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
}

float tree_max(Lanes16 lanes) {
  const __m256 by8 = _mm256_max_ps(lanes.low, lanes.high);
  const __m128 by4 = _mm_max_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_max_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_max_ss(by2, _mm_movehdup_ps(by2)));
}

float f16_one(const std::uint8_t* p) {
  return _cvtsh_ss(static_cast<unsigned short>(p[0] | (p[1] << 8)));
}

// 16 bytes of Q4_0 as 32 codes of -8..7.
void q4_codes(const std::uint8_t* p, std::int8_t* codes) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i nibble = _mm_set1_epi8(15);
  const __m256i both = _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(bytes, 4), nibble),
                                        _mm_and_si128(bytes, nibble));
  _mm256_store_si256(reinterpret_cast<__m256i*>(codes), _mm256_sub_epi8(both, _mm256_set1_epi8(8)));
}

// The 256 codes of -32..31 of a Q6_K block: 32 at a time, four of them from the same 32 bytes of
// high bits (dense_row.h).
void q6k_codes(const std::uint8_t* p, std::int8_t* codes) {
  const __m256i nibble = _mm256_set1_epi8(15), bits45 = _mm256_set1_epi8(0x30);
  const __m256i offset = _mm256_set1_epi8(32);
  const auto put = [&](std::int8_t* to, __m256i low, __m256i high) {
    const __m256i code =
        _mm256_or_si256(_mm256_and_si256(low, nibble), _mm256_and_si256(high, bits45));
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm256_sub_epi8(code, offset));
  };
  for (int h = 0; h < 2; ++h, codes += 128) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 64 * h));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 64 * h + 32));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 128 + 32 * h));
    put(codes, a, _mm256_slli_epi16(high, 4));
    put(codes + 32, b, _mm256_slli_epi16(high, 2));
    put(codes + 64, _mm256_srli_epi16(a, 4), high);
    put(codes + 96, _mm256_srli_epi16(b, 4), _mm256_srli_epi16(high, 2));
  }
}

// --- Pieces of the integer kernels.

__m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
void store256(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }

// Adds the pairs of 16-bit lanes of `v` into the 32-bit lanes of `sum`.
__m256i widen_add(__m256i sum, __m256i v) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(v, _mm256_set1_epi16(1)));
}

// The sums of the lanes of four vectors.
__m128i reduce4(__m256i a, __m256i b, __m256i c, __m256i d) {
  const __m256i ab = _mm256_hadd_epi32(a, b);
  const __m256i cd = _mm256_hadd_epi32(c, d);
  const __m256i all = _mm256_hadd_epi32(ab, cd);
  return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

std::int32_t reduce(__m256i v) {
  const __m256i zero = _mm256_setzero_si256();
  return _mm_cvtsi128_si32(reduce4(v, zero, zero, zero));
}

// Four activations in every 32-bit lane.
__m256i broadcast(const std::int8_t* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, 4);
  return _mm256_set1_epi32(four);
}

struct FourPerByte {};

void ternary_unpack(const std::uint8_t* w, std::size_t blocks, std::uint8_t* codes,
                    std::size_t step_bytes) noexcept {
  const __m256i mask = _mm256_set1_epi8(3);
  for (std::size_t b = 0; b < blocks; ++b, w += 64) {
    const __m256i low = load256(w), high = load256(w + 32);
    for (int f = 0; f < 4; ++f, codes += step_bytes) {
      auto* out = reinterpret_cast<__m256i*>(codes);
      _mm256_storeu_si256(out, _mm256_and_si256(_mm256_srli_epi16(low, 2 * f), mask));
      _mm256_storeu_si256(out + 1, _mm256_and_si256(_mm256_srli_epi16(high, 2 * f), mask));
    }
  }
}

void quantize(const float* x, std::size_t n, float s, std::int8_t* q) noexcept {
  const __m256 scale = _mm256_set1_ps(s), magic = _mm256_set1_ps(kRoundMagic);
  const __m256i magic_bits = _mm256_set1_epi32(kRoundMagicBits);
  const auto round = [&](__m256 v) {
    const __m256 shifted = _mm256_add_ps(_mm256_mul_ps(v, scale), magic);
    return _mm256_sub_epi32(_mm256_castps_si256(shifted), magic_bits);
  };
  for (std::size_t i = 0; i < n; i += 16) {
    const std::size_t count = n - i < 16 ? n - i : 16;
    const Lanes16 v = count == 16 ? Lanes16::load(x + i) : Lanes16::load_part(x + i, count);
    // Packing saturates, and works within 128-bit halves: put the quarters in order first.
    const __m256i words =
        _mm256_permute4x64_epi64(_mm256_packs_epi32(round(v.low), round(v.high)), 0xd8);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    if (count == 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), bytes);
    } else {
      __builtin_memcpy(q + i, &bytes, count);
    }
  }
}

void field_sums(const std::int8_t* q, std::size_t fields, std::int32_t* sums) noexcept {
  const __m256i ones = _mm256_set1_epi8(1);
  for (std::size_t f = 0; f < fields; ++f) {
    const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(ones, load256(q + 64 * f)),
                                           _mm256_maddubs_epi16(ones, load256(q + 64 * f + 32)));
    sums[f] = reduce(widen_add(_mm256_setzero_si256(), pairs));
  }
}

std::uint64_t read_xor(const std::uint8_t* p, std::size_t bytes, std::size_t streams,
                       std::size_t ahead) noexcept {
  __m256i sum[4];
  for (__m256i& s : sum) s = _mm256_setzero_si256();
  const std::uint8_t* from[4];  // Loads j, j + streams, ... belong to one stretch.
  for (std::size_t j = 0; j < 4; ++j) from[j] = p + j % streams * bytes + j / streams * 64;
  const std::size_t step = 256 / streams;
  for (std::size_t i = 0; i + step <= bytes; i += step) {
    for (std::size_t j = 0; j < 4; ++j) {
      if (ahead != 0) _mm_prefetch(reinterpret_cast<const char*>(from[j] + i + ahead), _MM_HINT_T0);
      sum[j] = _mm256_xor_si256(sum[j], load256(from[j] + i));
      sum[j] = _mm256_xor_si256(sum[j], load256(from[j] + i + 32));
    }
  }
  const __m256i all =
      _mm256_xor_si256(_mm256_xor_si256(sum[0], sum[1]), _mm256_xor_si256(sum[2], sum[3]));
  return static_cast<std::uint64_t>(_mm256_extract_epi64(all, 0)) ^
         static_cast<std::uint64_t>(_mm256_extract_epi64(all, 1)) ^
         static_cast<std::uint64_t>(_mm256_extract_epi64(all, 2)) ^
         static_cast<std::uint64_t>(_mm256_extract_epi64(all, 3));
}

}  // namespace
}  // namespace tern::kernels

#include "tern/kernels/attention_lanes.h"
#include "tern/kernels/lanes16.h"
