// The float kernels of every vector instruction set, written once over Lanes16: 16 floats in
// whatever registers there are. An ISA file defines Lanes16 (avx2_lanes.h lists what it offers) and
// the decoders q4_codes and q6k_codes, then includes this. Everything has internal linkage.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/kernels/float_math.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

using std::size_t;
using std::uint8_t;

// Weights are asked for in the order of memory, a panel of rows (or kPrefetchBytes) before they are
// used: rows lie one after the other. Asking for each row's own continuation in turn, as the panel
// is read, reaches a third of the bandwidth (measured on Zen 4).
const uint8_t* prefetch_start(const uint8_t* w, size_t panel_bytes) {
  return w + (panel_bytes > kPrefetchBytes ? panel_bytes : kPrefetchBytes);
}
const uint8_t* prefetch_next(const uint8_t* ahead, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(ahead + i);
  return ahead + bytes;
}

// --- Full-precision weights. An element kind is read 16 at a time at any alignment.

struct ElementF32 {
  static constexpr size_t kBytes = 4;
  static Lanes16 load(const uint8_t* p) { return Lanes16::load(p); }
  static Lanes16 load_part(const uint8_t* p, size_t n) { return Lanes16::load_part(p, n); }
};
struct ElementF16 {
  static constexpr size_t kBytes = 2;
  static Lanes16 load(const uint8_t* p) { return Lanes16::from_f16(p); }
  static Lanes16 load_part(const uint8_t* p, size_t n) { return Lanes16::from_f16_part(p, n); }
};
struct ElementBF16 {
  static constexpr size_t kBytes = 2;
  static Lanes16 load(const uint8_t* p) { return Lanes16::from_bf16(p); }
  static Lanes16 load_part(const uint8_t* p, size_t n) { return Lanes16::from_bf16_part(p, n); }
};

template <typename Element>
void expand_elements(const uint8_t* row, size_t cols, float* out) noexcept {
  size_t c = 0;
  for (; c + 16 <= cols; c += 16) Element::load(row + c * Element::kBytes).store(out + c);
  if (c < cols) {
    Element::load_part(row + c * Element::kBytes, cols - c).store_part(out + c, cols - c);
  }
}

// Several rows at a time, because one sum of 16 lanes is one chain of dependent additions.
template <typename Element, size_t rows>
void gemv_element_rows(const uint8_t* w, size_t row_bytes, const float* x, size_t cols, float* y) {
  Lanes16 sum[rows];
  for (Lanes16& s : sum) s = Lanes16::zero();
  const uint8_t* ahead = prefetch_start(w, rows * row_bytes);
  size_t c = 0;
  for (; c + 16 <= cols; c += 16) {
    ahead = prefetch_next(ahead, rows * 16 * Element::kBytes);
    const Lanes16 xv = Lanes16::load(x + c);
    for (size_t r = 0; r < rows; ++r) {
      const uint8_t* p = w + r * row_bytes + c * Element::kBytes;
      sum[r] = fma(Element::load(p), xv, sum[r]);
    }
  }
  if (c < cols) {
    const Lanes16 xv = Lanes16::load_part(x + c, cols - c);
    for (size_t r = 0; r < rows; ++r) {
      const uint8_t* p = w + r * row_bytes + c * Element::kBytes;
      sum[r] = fma(Element::load_part(p, cols - c), xv, sum[r]);
    }
  }
  for (size_t r = 0; r < rows; ++r) y[r] = tree_sum(sum[r]);
}

template <typename Element>
void gemv_elements(const uint8_t* w, size_t row_bytes, size_t rows, const float* x, size_t cols,
                   float* y) noexcept {
  size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    gemv_element_rows<Element, 4>(w + r * row_bytes, row_bytes, x, cols, y + r);
  }
  for (; r < rows; ++r) gemv_element_rows<Element, 1>(w + r * row_bytes, row_bytes, x, cols, y + r);
}

// A block kind gives kWeights int8 codes (in `room` or in the block itself) and a scale for each 16
// of them; a weight is scale * code, rounded.

struct BlockQ8_0 {
  static constexpr size_t kWeights = 32, kBytes = 34;
  static const std::int8_t* decode(const uint8_t* p, std::int8_t*, float* scales) {
    scales[0] = scales[1] = f16_one(p);
    return reinterpret_cast<const std::int8_t*>(p + 2);
  }
};
struct BlockQ4_0 {
  static constexpr size_t kWeights = 32, kBytes = 18;
  static const std::int8_t* decode(const uint8_t* p, std::int8_t* room, float* scales) {
    scales[0] = scales[1] = f16_one(p);
    q4_codes(p + 2, room);
    return room;
  }
};
struct BlockQ6_K {
  static constexpr size_t kWeights = 256, kBytes = 210;
  static const std::int8_t* decode(const uint8_t* p, std::int8_t* room, float* scales) {
    mul(Lanes16::set1(f16_one(p + 208)),
        Lanes16::from_i8(reinterpret_cast<const std::int8_t*>(p + 192)))
        .store(scales);
    q6k_codes(p, room);
    return room;
  }
};

template <typename Block>
void expand_blocks(const uint8_t* row, size_t cols, float* out) noexcept {
  alignas(64) std::int8_t room[Block::kWeights];
  alignas(64) float scales[Block::kWeights / 16];
  for (size_t c = 0; c < cols; c += Block::kWeights, row += Block::kBytes) {
    const std::int8_t* codes = Block::decode(row, room, scales);
    for (size_t i = 0; i < Block::kWeights / 16; ++i) {
      mul(Lanes16::set1(scales[i]), Lanes16::from_i8(codes + 16 * i)).store(out + c + 16 * i);
    }
  }
}

template <typename Block, size_t rows>
void gemv_block_rows(const uint8_t* w, size_t row_bytes, const float* x, size_t cols, float* y) {
  alignas(64) std::int8_t room[rows][Block::kWeights];
  alignas(64) float scales[rows][Block::kWeights / 16];
  const std::int8_t* codes[rows];
  Lanes16 sum[rows];
  for (Lanes16& s : sum) s = Lanes16::zero();
  const uint8_t* ahead = prefetch_start(w, rows * row_bytes);
  for (size_t c = 0; c < cols; c += Block::kWeights, w += Block::kBytes) {
    ahead = prefetch_next(ahead, rows * Block::kBytes);
    for (size_t r = 0; r < rows; ++r) {
      codes[r] = Block::decode(w + r * row_bytes, room[r], scales[r]);
    }
    for (size_t i = 0; i < Block::kWeights / 16; ++i) {
      const Lanes16 xv = Lanes16::load(x + c + 16 * i);
      for (size_t r = 0; r < rows; ++r) {
        const Lanes16 weights =
            mul(Lanes16::set1(scales[r][i]), Lanes16::from_i8(codes[r] + 16 * i));
        sum[r] = fma(weights, xv, sum[r]);
      }
    }
  }
  for (size_t r = 0; r < rows; ++r) y[r] = tree_sum(sum[r]);
}

template <typename Block>
void gemv_blocks(const uint8_t* w, size_t row_bytes, size_t rows, const float* x, size_t cols,
                 float* y) noexcept {
  size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    gemv_block_rows<Block, 4>(w + r * row_bytes, row_bytes, x, cols, y + r);
  }
  for (; r < rows; ++r) gemv_block_rows<Block, 1>(w + r * row_bytes, row_bytes, x, cols, y + r);
}

// A tile of rows and tokens whose sums stay in registers; lane sums in memory are `rows_all` rows
// of 16 per token.
template <size_t rows, size_t tokens>
void dot_tile(const float* a, size_t a_stride, const float* x, size_t x_stride, size_t n,
              float* lanes, size_t rows_all) {
  Lanes16 sum[tokens][rows];
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t r = 0; r < rows; ++r) sum[t][r] = Lanes16::load(lanes + (t * rows_all + r) * 16);
  }
  size_t c = 0;
  for (; c + 16 <= n; c += 16) {
    Lanes16 av[rows];
    for (size_t r = 0; r < rows; ++r) av[r] = Lanes16::load(a + r * a_stride + c);
    for (size_t t = 0; t < tokens; ++t) {
      const Lanes16 xv = Lanes16::load(x + t * x_stride + c);
      for (size_t r = 0; r < rows; ++r) sum[t][r] = fma(av[r], xv, sum[t][r]);
    }
  }
  if (c < n) {
    for (size_t t = 0; t < tokens; ++t) {
      const Lanes16 xv = Lanes16::load_part(x + t * x_stride + c, n - c);
      for (size_t r = 0; r < rows; ++r) {
        sum[t][r] = fma(Lanes16::load_part(a + r * a_stride + c, n - c), xv, sum[t][r]);
      }
    }
  }
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t r = 0; r < rows; ++r) sum[t][r].store(lanes + (t * rows_all + r) * 16);
  }
}

template <size_t tokens>
void dot_strip(const float* a, size_t a_stride, size_t rows, const float* x, size_t x_stride,
               size_t n, float* lanes) {
  size_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows) {
    dot_tile<kTileRows, tokens>(a + r * a_stride, a_stride, x, x_stride, n, lanes + r * 16, rows);
  }
  for (; r < rows; ++r) {
    dot_tile<1, tokens>(a + r * a_stride, a_stride, x, x_stride, n, lanes + r * 16, rows);
  }
}

void dot_lanes(const float* a, size_t a_stride, size_t rows, const float* x, size_t x_stride,
               size_t tokens, size_t n, float* lanes) noexcept {
  size_t t = 0;
  for (; t + kTileTokens <= tokens; t += kTileTokens) {
    dot_strip<kTileTokens>(a, a_stride, rows, x + t * x_stride, x_stride, n, lanes + t * rows * 16);
  }
  for (; t < tokens; ++t) {
    dot_strip<1>(a, a_stride, rows, x + t * x_stride, x_stride, n, lanes + t * rows * 16);
  }
}

// --- Elementwise. each(n, body) calls body(i, whole) so that whole lanes and the tail share one
// text.

struct Whole {
  static Lanes16 load(const float* p, size_t) { return Lanes16::load(p); }
  static void store(Lanes16 v, float* p, size_t) { v.store(p); }
};
struct Part {
  static Lanes16 load(const float* p, size_t n) { return Lanes16::load_part(p, n); }
  static void store(Lanes16 v, float* p, size_t n) { v.store_part(p, n); }
};

template <typename Body>
void each(size_t n, const Body& body) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) body(Whole{}, i, size_t{16});
  if (i < n) body(Part{}, i, n - i);
}

Lanes16 exp_lanes(Lanes16 x) {
  x = larger(Lanes16::set1(kExpLow), x);  // a > b ? a : b, so that a NaN passes.
  x = smaller(Lanes16::set1(kExpHigh), x);
  const Lanes16 magic = Lanes16::set1(kRoundMagic);
  const Lanes16 t = fma(x, Lanes16::set1(kLog2E), magic);
  const Lanes16 whole = sub(t, magic);
  Lanes16 r = fma(whole, Lanes16::set1(kMinusLn2High), x);
  r = fma(whole, Lanes16::set1(kMinusLn2Low), r);
  Lanes16 q = Lanes16::set1(kExpQ[5]);
  for (int i = 4; i >= 0; --i) q = fma(q, r, Lanes16::set1(kExpQ[i]));
  const Lanes16 p = add(fma(mul(r, r), q, r), Lanes16::set1(1.0f));
  return scale_by_power(p, t);
}

void exp_all(const float* x, size_t n, float* out) noexcept {
  each(n, [=](auto part, size_t i, size_t count) {
    part.store(exp_lanes(part.load(x + i, count)), out + i, count);
  });
}

void norm_scale(const float* x, const float* weight, float r, size_t n, float* out) noexcept {
  const Lanes16 rv = Lanes16::set1(r);
  each(n, [=](auto part, size_t i, size_t count) {
    const Lanes16 scaled = mul(part.load(x + i, count), rv);
    part.store(mul(scaled, part.load(weight + i, count)), out + i, count);
  });
}

void silu_mul(float* gate, const float* up, size_t n) noexcept {
  each(n, [=](auto part, size_t i, size_t count) {
    const Lanes16 g = part.load(gate + i, count);
    const Lanes16 silu = div(g, add(Lanes16::set1(1.0f), exp_lanes(negate(g))));
    part.store(mul(silu, part.load(up + i, count)), gate + i, count);
  });
}

void relu2_mul(float* gate, const float* up, size_t n) noexcept {
  each(n, [=](auto part, size_t i, size_t count) {
    const Lanes16 positive = larger(part.load(gate + i, count), Lanes16::zero());
    part.store(mul(mul(positive, positive), part.load(up + i, count)), gate + i, count);
  });
}

void add_all(float* a, const float* b, size_t n) noexcept {
  each(n, [=](auto part, size_t i, size_t count) {
    part.store(add(part.load(a + i, count), part.load(b + i, count)), a + i, count);
  });
}

void rope(float* x, size_t heads, size_t half, const float* cos, const float* sin) noexcept {
  for (size_t h = 0; h < heads; ++h) {
    float* low = x + h * 2 * half;
    float* high = low + half;
    each(half, [=](auto part, size_t i, size_t count) {
      const Lanes16 a = part.load(low + i, count), b = part.load(high + i, count);
      const Lanes16 c = part.load(cos + i, count), s = part.load(sin + i, count);
      part.store(sub(mul(a, c), mul(b, s)), low + i, count);
      part.store(add(mul(b, c), mul(a, s)), high + i, count);
    });
  }
}

float absmax(const float* x, size_t n) noexcept {
  Lanes16 max = Lanes16::zero();
  each(n, [&](auto part, size_t i, size_t count) {
    max = larger(magnitude(part.load(x + i, count)), max);
  });
  return tree_max(max);
}

}  // namespace
}  // namespace tern::kernels
