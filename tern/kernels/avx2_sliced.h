// Sliced matrices in AVX2 registers, for avx2_sliced.cpp and avxvnni_sliced.cpp, which define
//   __m256i dot4(__m256i sum, __m256i codes, __m256i x): to each 32-bit lane four products of
//   codes (0..63) and x (-127..127)
// and include this. Built with -mavx2 -mfma -mf16c. Everything has internal linkage.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "tern/kernels/sliced_kernels.h"

namespace tern::kernels {
namespace {

using std::int8_t;
using std::size_t;
using std::uint8_t;

constexpr size_t kAhead = 8192;  // How far ahead records are asked for.

// A record is norms, d, scales, high bits (tensor/sliced_matrix.h).
constexpr size_t kDAt = 8;
size_t scales_at(size_t blocks) { return kDAt + 2 * blocks; }
size_t high_at(size_t blocks) { return (scales_at(blocks) + 16 * blocks + 63) / 64 * 64; }

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
__m256i masked(__m256i v, int mask) {
  return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)));
}
__m256 floats8(const void* p) {  // Of eight int8.
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
}
float d_float(const uint8_t* record, size_t b) {
  const uint8_t* p = record + kDAt + 2 * b;
  return _cvtsh_ss(static_cast<unsigned short>(p[0] | (p[1] << 8)));
}

// 16 lanes in two registers, added as dense.h's tree.
float tree_sum(const __m256* lanes) {
  const __m256 by8 = _mm256_add_ps(lanes[0], lanes[1]);
  const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
}

// lane += d * ((t * scale) * sc) for half `h` of the 16 groups of block b.
__m256 add_groups(__m256 lanes, __m256i t, const uint8_t* record, size_t blocks, size_t b, size_t h,
                  const SlicedInput& x) {
  const __m256 scale = _mm256_loadu_ps(x.scales + 16 * b + 8 * h);
  const __m256 sc = floats8(record + scales_at(blocks) + 16 * b + 8 * h);
  const __m256 scaled = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(t), scale), sc);
  return _mm256_fmadd_ps(_mm256_set1_ps(d_float(record, b)), scaled, lanes);
}

float screen_row(const uint8_t* record, size_t blocks, const SlicedInput& x) {
  const __m256i factor = _mm256_set1_epi32(-122);
  __m256 lanes[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (size_t b = 0; b < blocks; ++b) {
    const uint8_t* high = record + high_at(blocks) + 128 * b;
    _mm_prefetch(reinterpret_cast<const char*>(high + kAhead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(high + kAhead + 64), _MM_HINT_T0);
    for (size_t h = 0; h < 2; ++h) {
      const int8_t* digits = x.digits + 256 * b + 32 * h;
      const __m256i h0 = load(high + 32 * h), h1 = load(high + 64 + 32 * h);
      __m256i sum = dot4(_mm256_setzero_si256(), masked(h0, 15), load(digits));
      sum = dot4(sum, masked(_mm256_srli_epi16(h0, 4), 15), load(digits + 64));
      sum = dot4(sum, masked(h1, 15), load(digits + 128));
      sum = dot4(sum, masked(_mm256_srli_epi16(h1, 4), 15), load(digits + 192));
      const __m256i offset = _mm256_mullo_epi32(load(x.sums + 16 * b + 8 * h), factor);
      const __m256i t = _mm256_add_epi32(_mm256_slli_epi32(sum, 4), offset);
      lanes[h] = add_groups(lanes[h], t, record, blocks, b, h, x);
    }
  }
  float norms[2];
  __builtin_memcpy(norms, record, sizeof(norms));
  const float bound =
      __builtin_fmaf(norms[0], x.residual, __builtin_fmaf(norms[1], x.norm, x.least));
  return tree_sum(lanes) * 0.25f + bound;
}

void screen(const uint8_t* records, size_t record_bytes, size_t rows, size_t blocks,
            const SlicedInput& x, float* upper) noexcept {
  for (size_t r = 0; r < rows; ++r) upper[r] = screen_row(records + r * record_bytes, blocks, x);
}

float low_part(const uint8_t* record, const uint8_t* low, size_t blocks,
               const SlicedInput& x) noexcept {
  __m256 lanes[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t h = 0; h < 2; ++h) {
      const int8_t* digits = x.digits + 256 * b + 32 * h;
      __m256i bits = load(low + 64 * b + 32 * h);
      __m256i sum = _mm256_setzero_si256();
      for (size_t j = 0; j < 4; ++j) {
        sum = dot4(sum, masked(bits, 3), load(digits + 64 * j));
        bits = _mm256_srli_epi16(bits, 2);
      }
      const __m256i sums = load(x.sums + 16 * b + 8 * h);
      const __m256i three = _mm256_add_epi32(sums, _mm256_add_epi32(sums, sums));
      const __m256i t = _mm256_sub_epi32(_mm256_add_epi32(sum, sum), three);
      lanes[h] = add_groups(lanes[h], t, record, blocks, b, h, x);
    }
  }
  return 0.5f * tree_sum(lanes);
}

// The codes of half `h` of a block: dwords 8 h ... of the four vectors.
struct HalfCodes {
  __m256i v[4];
};
HalfCodes half_codes(const uint8_t* high, const uint8_t* low, size_t h) {
  const __m256i h0 = load(high + 32 * h), h1 = load(high + 64 + 32 * h), bits = load(low + 32 * h);
  const auto join = [](__m256i top, __m256i two) {
    return _mm256_or_si256(masked(top, 0x3c), masked(two, 3));
  };
  return {{join(_mm256_slli_epi16(h0, 2), bits),
           join(_mm256_srli_epi16(h0, 2), _mm256_srli_epi16(bits, 2)),
           join(_mm256_slli_epi16(h1, 2), _mm256_srli_epi16(bits, 4)),
           join(_mm256_srli_epi16(h1, 2), _mm256_srli_epi16(bits, 6))}};
}

void store_scales(const uint8_t* record, size_t blocks, size_t b, float* scales) {
  const __m256 d = _mm256_set1_ps(d_float(record, b));
  const uint8_t* sc = record + scales_at(blocks) + 16 * b;
  _mm256_storeu_ps(scales, _mm256_mul_ps(d, floats8(sc)));
  _mm256_storeu_ps(scales + 8, _mm256_mul_ps(d, floats8(sc + 8)));
}

void unpack(const uint8_t* record, const uint8_t* low, size_t blocks, uint8_t* codes,
            float* scales) noexcept {
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t h = 0; h < 2; ++h) {
      const HalfCodes c = half_codes(record + high_at(blocks) + 128 * b, low + 64 * b, h);
      for (size_t j = 0; j < 4; ++j) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + 256 * b + 64 * j + 32 * h), c.v[j]);
      }
    }
    store_scales(record, blocks, b, scales + 16 * b);
  }
}

template <size_t rows, size_t tokens>
void panel_tile(const uint8_t* codes, const float* scales, size_t blocks, const SlicedInput* x,
                float* y, size_t y_stride) {
  __m256 lanes[tokens][rows][2];
  for (auto& token : lanes) {
    for (auto& row : token) row[0] = row[1] = _mm256_setzero_ps();
  }
  for (size_t i = 0; i < 2 * blocks; ++i) {
    const size_t b = i / 2, h = i % 2;
    for (size_t t = 0; t < tokens; ++t) {
      const int8_t* digits = x[t].digits + 256 * b + 32 * h;
      const __m256i sums = load(x[t].sums + 16 * b + 8 * h);
      const __m256i start = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sums, 5));
      const __m256 scale = _mm256_loadu_ps(x[t].scales + 16 * b + 8 * h);
      for (size_t r = 0; r < rows; ++r) {
        const uint8_t* row = codes + (r * blocks + b) * 256 + 32 * h;
        __m256i sum = dot4(start, load(row), load(digits));
        sum = dot4(sum, load(row + 64), load(digits + 64));
        sum = dot4(sum, load(row + 128), load(digits + 128));
        sum = dot4(sum, load(row + 192), load(digits + 192));
        const __m256 weight = _mm256_loadu_ps(scales + (r * blocks + b) * 16 + 8 * h);
        lanes[t][r][h] =
            _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale), weight, lanes[t][r][h]);
      }
    }
  }
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t r = 0; r < rows; ++r) y[t * y_stride + r] = tree_sum(lanes[t][r]);
  }
}

void panel(const uint8_t* codes, const float* scales, size_t rows, size_t blocks,
           const SlicedInput* x, size_t tokens, float* y, size_t y_stride) noexcept {
  for (size_t t = 0; t < tokens; ++t) {
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) {
      panel_tile<4, 1>(codes + r * blocks * 256, scales + r * blocks * 16, blocks, x + t,
                       y + t * y_stride + r, y_stride);
    }
    for (; r < rows; ++r) {
      panel_tile<1, 1>(codes + r * blocks * 256, scales + r * blocks * 16, blocks, x + t,
                       y + t * y_stride + r, y_stride);
    }
  }
}

// The digits of group g, 16 columns in order, at room + place(g).
size_t place(size_t g) { return 64 * (g % 4) + 16 * (g / 4); }
void column_digits(const uint8_t* high, const uint8_t* low, int8_t* room) {
  const __m256i offset = _mm256_set1_epi8(32);
  for (size_t h = 0; h < 2; ++h) {
    const HalfCodes c = half_codes(high, low, h);
    const __m256i low01 = _mm256_unpacklo_epi32(c.v[0], c.v[1]);
    const __m256i high01 = _mm256_unpackhi_epi32(c.v[0], c.v[1]);
    const __m256i low23 = _mm256_unpacklo_epi32(c.v[2], c.v[3]);
    const __m256i high23 = _mm256_unpackhi_epi32(c.v[2], c.v[3]);
    const __m256i group[4] = {
        _mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
        _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
    for (size_t i = 0; i < 4; ++i) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(room + 64 * i + 32 * h),
                         _mm256_sub_epi8(group[i], offset));
    }
  }
}

void expand(const uint8_t* record, const uint8_t* low, size_t blocks, size_t first, size_t count,
            float* out) noexcept {
  alignas(32) int8_t room[256];
  float scales[16];
  for (size_t b = first; b < first + count; ++b) {
    column_digits(record + high_at(blocks) + 128 * b, low + 64 * b, room);
    store_scales(record, blocks, b, scales);
    for (size_t g = 0; g < 16; ++g, out += 16) {
      const __m256 scale = _mm256_set1_ps(scales[g]);
      _mm256_storeu_ps(out, _mm256_mul_ps(scale, floats8(room + place(g))));
      _mm256_storeu_ps(out + 8, _mm256_mul_ps(scale, floats8(room + place(g) + 8)));
    }
  }
}

// Block b's share of `bytes`, kAhead further on.
void ask_ahead(const uint8_t* p, size_t bytes, size_t blocks, size_t b) {
  const size_t end = bytes * (b + 1) / blocks;
  for (size_t i = bytes * b / blocks / 64 * 64; i < end; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(p + kAhead + i), _MM_HINT_T1);
  }
}

template <size_t rows>
void gemv_rows(const uint8_t* records, size_t record_bytes, const uint8_t* lows, size_t low_bytes,
               size_t blocks, const float* x, float* y) {
  alignas(32) int8_t room[rows][256];
  float scales[rows][16];
  __m256 lanes[rows][2];
  for (auto& row : lanes) row[0] = row[1] = _mm256_setzero_ps();
  for (size_t b = 0; b < blocks; ++b) {
    // A row alone is a candidate: its neighbours are not wanted.
    if (rows > 1) {
      ask_ahead(records, rows * record_bytes, blocks, b);
      ask_ahead(lows, rows * low_bytes, blocks, b);
    }
    for (size_t r = 0; r < rows; ++r) {
      const uint8_t* record = records + r * record_bytes;
      column_digits(record + high_at(blocks) + 128 * b, lows + r * low_bytes + 64 * b, room[r]);
      store_scales(record, blocks, b, scales[r]);
    }
    for (size_t g = 0; g < 16; ++g, x += 16) {
      for (size_t h = 0; h < 2; ++h) {
        const __m256 xv = _mm256_loadu_ps(x + 8 * h);
        for (size_t r = 0; r < rows; ++r) {
          const __m256 weights =
              _mm256_mul_ps(_mm256_set1_ps(scales[r][g]), floats8(room[r] + place(g) + 8 * h));
          lanes[r][h] = _mm256_fmadd_ps(weights, xv, lanes[r][h]);
        }
      }
    }
  }
  for (size_t r = 0; r < rows; ++r) y[r] = tree_sum(lanes[r]);
}

void gemv(const uint8_t* records, size_t record_bytes, const uint8_t* lows, size_t low_bytes,
          size_t rows, size_t blocks, const float* x, float* y) noexcept {
  size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    gemv_rows<4>(records + r * record_bytes, record_bytes, lows + r * low_bytes, low_bytes, blocks,
                 x, y + r);
  }
  for (; r < rows; ++r) {
    gemv_rows<1>(records + r * record_bytes, record_bytes, lows + r * low_bytes, low_bytes, blocks,
                 x, y + r);
  }
}

constexpr SlicedKernels kSliced{
    .screen = screen,
    .low_part = low_part,
    .unpack = unpack,
    .panel = panel,
    .expand = expand,
    .gemv = gemv,
};

}  // namespace
}  // namespace tern::kernels
