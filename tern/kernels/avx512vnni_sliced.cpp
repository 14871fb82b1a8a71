// Sliced matrices on AVX-512 F, BW, DQ, VL and VNNI. Runs only where kAvx512Vnni.supported() says.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "tern/kernels/sliced_kernels.h"

namespace tern::kernels {
namespace {

using std::int8_t;
using std::size_t;
using std::uint8_t;

constexpr size_t kRows = 2;     // Records that are read side by side.
constexpr size_t kDChunk = 16;  // Blocks whose d are made floats at a time.
// How far ahead records are asked for, into L2: into L1, or 1 to 4 KiB ahead, reaches half of the
// bandwidth (measured on Zen 4, docs/kernels.md).
constexpr size_t kAhead = 8192;

// A record is norms, d, scales, high bits (tensor/sliced_matrix.h).
constexpr size_t kDAt = 8;
size_t scales_at(size_t blocks) { return kDAt + 2 * blocks; }
size_t high_at(size_t blocks) { return (scales_at(blocks) + 16 * blocks + 63) / 64 * 64; }

__m512i load(const void* p) { return _mm512_loadu_si512(p); }
__m512i bytes(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
__m512i widen(const uint8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

// n <= 16 halves as floats.
void d_floats(const uint8_t* p, size_t n, float* out) {
  const auto lanes = static_cast<__mmask16>((1u << n) - 1);
  _mm512_store_ps(out, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, p)));
}

float tree_sum(__m512 lanes) {
  const __m256 by8 = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
  const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
}

float bound(const uint8_t* record, const SlicedInput& x) {
  float norms[2];
  __builtin_memcpy(norms, record, sizeof(norms));
  return __builtin_fmaf(norms[0], x.residual, __builtin_fmaf(norms[1], x.norm, x.least));
}

// g++ would fold a load into each use of the vector; the loads are what there are fewest of.
__m512i load_once(const void* p) {
  __m512i v = load(p);
  asm("" : "+v"(v));
  return v;
}

// Nibbles are masked where they stand: the high ones are 16 times too large, and the low ones are
// made so by one shift of their sum.
template <size_t rows>
void screen_rows(const uint8_t* records, size_t record_bytes, size_t blocks, const SlicedInput& x,
                 float* upper) {
  const __m512i low = bytes(0x0f), high = bytes(0xf0), factor = _mm512_set1_epi32(-122);
  __m512 lanes[rows];
  for (__m512& l : lanes) l = _mm512_setzero_ps();
  alignas(64) float d[rows][kDChunk];
  const uint8_t* ahead = records + kAhead;
  const uint8_t* const ahead_end = ahead + rows * record_bytes;
  const size_t lines = (rows * record_bytes / 64 + blocks - 1) / blocks;
  for (size_t b = 0; b < blocks; ++b) {
    if (b % kDChunk == 0) {
      const size_t n = blocks - b < kDChunk ? blocks - b : kDChunk;
      for (size_t r = 0; r < rows; ++r) {
        d_floats(records + r * record_bytes + kDAt + 2 * b, n, d[r]);
      }
    }
    for (size_t i = 0; i < lines && ahead < ahead_end; ++i, ahead += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(ahead), _MM_HINT_T1);
    }
    const int8_t* digits = x.digits + 256 * b;
    const __m512i x0 = load_once(digits), x1 = load_once(digits + 64), x2 = load_once(digits + 128),
                  x3 = load_once(digits + 192);
    const __m512i offset = _mm512_mullo_epi32(load(x.sums + 16 * b), factor);
    const __m512 scale = _mm512_loadu_ps(x.scales + 16 * b);
    for (size_t r = 0; r < rows; ++r) {
      const uint8_t* record = records + r * record_bytes;
      const uint8_t* codes = record + high_at(blocks) + 128 * b;
      const __m512i h0 = load_once(codes), h1 = load_once(codes + 64);
      __m512i ones = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_and_si512(h0, low), x0);
      __m512i sixteens = _mm512_dpbusd_epi32(offset, _mm512_and_si512(h0, high), x1);
      ones = _mm512_dpbusd_epi32(ones, _mm512_and_si512(h1, low), x2);
      sixteens = _mm512_dpbusd_epi32(sixteens, _mm512_and_si512(h1, high), x3);
      const __m512i t = _mm512_add_epi32(_mm512_slli_epi32(ones, 4), sixteens);
      const __m512 sc = _mm512_cvtepi32_ps(widen(record + scales_at(blocks) + 16 * b));
      const __m512 scaled = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(t), scale), sc);
      lanes[r] = _mm512_fmadd_ps(_mm512_set1_ps(d[r][b % kDChunk]), scaled, lanes[r]);
    }
  }
  for (size_t r = 0; r < rows; ++r) {
    upper[r] = tree_sum(lanes[r]) * 0.25f + bound(records + r * record_bytes, x);
  }
}

void screen(const uint8_t* records, size_t record_bytes, size_t rows, size_t blocks,
            const SlicedInput& x, float* upper) noexcept {
  size_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    screen_rows<kRows>(records + r * record_bytes, record_bytes, blocks, x, upper + r);
  }
  for (; r < rows; ++r) {
    screen_rows<1>(records + r * record_bytes, record_bytes, blocks, x, upper + r);
  }
}

float low_part(const uint8_t* record, const uint8_t* low, size_t blocks,
               const SlicedInput& x) noexcept {
  const __m512i mask = bytes(3), three = _mm512_set1_epi32(3);
  __m512 lanes = _mm512_setzero_ps();
  alignas(64) float d[kDChunk];
  for (size_t b = 0; b < blocks; ++b) {
    if (b % kDChunk == 0) {
      const size_t n = blocks - b < kDChunk ? blocks - b : kDChunk;
      d_floats(record + kDAt + 2 * b, n, d);
    }
    const int8_t* digits = x.digits + 256 * b;
    const __m512i codes = load(low + 64 * b);
    __m512i sum = _mm512_setzero_si512();
    for (unsigned j = 0; j < 4; ++j) {
      const __m512i field = _mm512_and_si512(_mm512_srli_epi16(codes, 2 * j), mask);
      sum = _mm512_dpbusd_epi32(sum, field, load(digits + 64 * j));
    }
    const __m512i t = _mm512_sub_epi32(_mm512_add_epi32(sum, sum),
                                       _mm512_mullo_epi32(load(x.sums + 16 * b), three));
    const __m512 sc = _mm512_cvtepi32_ps(widen(record + scales_at(blocks) + 16 * b));
    const __m512 scaled =
        _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(t), _mm512_loadu_ps(x.scales + 16 * b)), sc);
    lanes = _mm512_fmadd_ps(_mm512_set1_ps(d[b % kDChunk]), scaled, lanes);
  }
  return 0.5f * tree_sum(lanes);
}

// The four vectors of codes of a block.
struct Codes {
  __m512i v[4];
};
Codes block_codes(const uint8_t* high, const uint8_t* low) {
  const __m512i h0 = load(high), h1 = load(high + 64), bits = load(low);
  const __m512i top = bytes(0x3c), two = bytes(3);
  const auto join = [&](__m512i h, __m512i l) {
    return _mm512_or_si512(_mm512_and_si512(h, top), _mm512_and_si512(l, two));
  };
  return {{join(_mm512_slli_epi16(h0, 2), bits),
           join(_mm512_srli_epi16(h0, 2), _mm512_srli_epi16(bits, 2)),
           join(_mm512_slli_epi16(h1, 2), _mm512_srli_epi16(bits, 4)),
           join(_mm512_srli_epi16(h1, 2), _mm512_srli_epi16(bits, 6))}};
}

__m512 scales16(const uint8_t* record, size_t blocks, size_t b) {
  const uint8_t* p = record + kDAt + 2 * b;
  const float d = _cvtsh_ss(static_cast<unsigned short>(p[0] | (p[1] << 8)));
  return _mm512_mul_ps(_mm512_set1_ps(d),
                       _mm512_cvtepi32_ps(widen(record + scales_at(blocks) + 16 * b)));
}

void unpack(const uint8_t* record, const uint8_t* low, size_t blocks, uint8_t* codes,
            float* scales) noexcept {
  for (size_t b = 0; b < blocks; ++b) {
    const Codes c = block_codes(record + high_at(blocks) + 128 * b, low + 64 * b);
    for (size_t j = 0; j < 4; ++j) _mm512_storeu_si512(codes + 256 * b + 64 * j, c.v[j]);
    _mm512_storeu_ps(scales + 16 * b, scales16(record, blocks, b));
  }
}

// A block of two tokens stays in registers while the rows' codes pass by.
template <size_t rows, size_t tokens>
void panel_tile(const uint8_t* codes, const float* scales, size_t blocks, const SlicedInput* x,
                float* y, size_t y_stride) {
  const __m512i factor = _mm512_set1_epi32(-32);
  __m512 lanes[tokens][rows];
  for (auto& token : lanes) {
    for (__m512& l : token) l = _mm512_setzero_ps();
  }
  for (size_t b = 0; b < blocks; ++b) {
    __m512i xv[tokens][4], start[tokens];
    __m512 scale[tokens];
    for (size_t t = 0; t < tokens; ++t) {
      for (size_t j = 0; j < 4; ++j) xv[t][j] = load_once(x[t].digits + 256 * b + 64 * j);
      start[t] = _mm512_mullo_epi32(load(x[t].sums + 16 * b), factor);
      scale[t] = _mm512_loadu_ps(x[t].scales + 16 * b);
    }
    for (size_t r = 0; r < rows; ++r) {
      const uint8_t* row = codes + (r * blocks + b) * 256;
      const __m512 weight = _mm512_loadu_ps(scales + (r * blocks + b) * 16);
      __m512i sum[tokens];
      for (size_t t = 0; t < tokens; ++t) sum[t] = start[t];
      for (size_t j = 0; j < 4; ++j) {
        const __m512i c = load_once(row + 64 * j);
        for (size_t t = 0; t < tokens; ++t) sum[t] = _mm512_dpbusd_epi32(sum[t], c, xv[t][j]);
      }
      for (size_t t = 0; t < tokens; ++t) {
        const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[t]), scale[t]);
        lanes[t][r] = _mm512_fmadd_ps(scaled, weight, lanes[t][r]);
      }
    }
  }
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t r = 0; r < rows; ++r) y[t * y_stride + r] = tree_sum(lanes[t][r]);
  }
}

template <size_t tokens>
void panel_strip(const uint8_t* codes, const float* scales, size_t rows, size_t blocks,
                 const SlicedInput* x, float* y, size_t y_stride) {
  size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    panel_tile<4, tokens>(codes + r * blocks * 256, scales + r * blocks * 16, blocks, x, y + r,
                          y_stride);
  }
  for (; r < rows; ++r) {
    panel_tile<1, tokens>(codes + r * blocks * 256, scales + r * blocks * 16, blocks, x, y + r,
                          y_stride);
  }
}

void panel(const uint8_t* codes, const float* scales, size_t rows, size_t blocks,
           const SlicedInput* x, size_t tokens, float* y, size_t y_stride) noexcept {
  size_t t = 0;
  for (; t + 2 <= tokens; t += 2) {
    panel_strip<2>(codes, scales, rows, blocks, x + t, y + t * y_stride, y_stride);
  }
  if (t < tokens) panel_strip<1>(codes, scales, rows, blocks, x + t, y + t * y_stride, y_stride);
}

// The digits of group g, 16 columns in order, at room + place(g).
size_t place(size_t g) { return 64 * (g % 4) + 16 * (g / 4); }
void column_digits(const uint8_t* high, const uint8_t* low, int8_t* room) {
  const Codes c = block_codes(high, low);
  const __m512i offset = bytes(32);
  const __m512i low01 = _mm512_unpacklo_epi32(c.v[0], c.v[1]),
                high01 = _mm512_unpackhi_epi32(c.v[0], c.v[1]);
  const __m512i low23 = _mm512_unpacklo_epi32(c.v[2], c.v[3]),
                high23 = _mm512_unpackhi_epi32(c.v[2], c.v[3]);
  _mm512_store_si512(room, _mm512_sub_epi8(_mm512_unpacklo_epi64(low01, low23), offset));
  _mm512_store_si512(room + 64, _mm512_sub_epi8(_mm512_unpackhi_epi64(low01, low23), offset));
  _mm512_store_si512(room + 128, _mm512_sub_epi8(_mm512_unpacklo_epi64(high01, high23), offset));
  _mm512_store_si512(room + 192, _mm512_sub_epi8(_mm512_unpackhi_epi64(high01, high23), offset));
}

__m512 group_weights(const int8_t* room, const float* scales, size_t g) {
  const auto* digits = reinterpret_cast<const uint8_t*>(room + place(g));
  return _mm512_mul_ps(_mm512_set1_ps(scales[g]), _mm512_cvtepi32_ps(widen(digits)));
}

void expand(const uint8_t* record, const uint8_t* low, size_t blocks, size_t first, size_t count,
            float* out) noexcept {
  alignas(64) int8_t room[256];
  alignas(64) float scales[16];
  for (size_t b = first; b < first + count; ++b, out += 256) {
    column_digits(record + high_at(blocks) + 128 * b, low + 64 * b, room);
    _mm512_store_ps(scales, scales16(record, blocks, b));
    for (size_t g = 0; g < 16; ++g) _mm512_storeu_ps(out + 16 * g, group_weights(room, scales, g));
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
  alignas(64) int8_t room[rows][256];
  alignas(64) float scales[rows][16];
  __m512 lanes[rows];
  for (__m512& l : lanes) l = _mm512_setzero_ps();
  for (size_t b = 0; b < blocks; ++b) {
    // A row alone is a candidate: its neighbours are not wanted.
    if (rows > 1) {
      ask_ahead(records, rows * record_bytes, blocks, b);
      ask_ahead(lows, rows * low_bytes, blocks, b);
    }
    for (size_t r = 0; r < rows; ++r) {
      const uint8_t* record = records + r * record_bytes;
      column_digits(record + high_at(blocks) + 128 * b, lows + r * low_bytes + 64 * b, room[r]);
      _mm512_store_ps(scales[r], scales16(record, blocks, b));
    }
    for (size_t g = 0; g < 16; ++g) {
      const __m512 xv = _mm512_loadu_ps(x + 256 * b + 16 * g);
      for (size_t r = 0; r < rows; ++r) {
        lanes[r] = _mm512_fmadd_ps(group_weights(room[r], scales[r], g), xv, lanes[r]);
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

}  // namespace

constinit const SlicedKernels kSlicedAvx512Vnni{
    .screen = screen,
    .low_part = low_part,
    .unpack = unpack,
    .panel = panel,
    .expand = expand,
    .gemv = gemv,
};

}  // namespace tern::kernels
