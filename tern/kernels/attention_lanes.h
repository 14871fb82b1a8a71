// The attention kernels of every vector instruction set, written once over Lanes16 and included
// after lanes16.h. Everything has internal linkage.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/kernels/kernel_table.h"
#include "tern/kernels/lanes16.h"

namespace tern::kernels {
namespace {

constexpr size_t kBlock = 64;  // attention.h's kKvBlock, four pieces of 16.

// How a type is read (attention.h): sixteen j of the 64 positions of a dimension that begins at p,
// and sixteen j of a position's dimensions.
struct KvF32 {
  static constexpr size_t kKeyBytes = 4 * kBlock;  // Of a dimension.
  static constexpr size_t row_bytes(size_t width) { return 4 * width; }
  static Lanes16 key(const uint8_t* p, size_t j) { return Lanes16::load(p + 64 * j); }
  static Lanes16 value(const uint8_t* p, size_t j) { return Lanes16::load(p + 64 * j); }
};
struct KvF16 {
  static constexpr size_t kKeyBytes = 2 * kBlock;
  static constexpr size_t row_bytes(size_t width) { return 2 * width; }
  static Lanes16 key(const uint8_t* p, size_t j) { return Lanes16::from_f16(p + 32 * j); }
  static Lanes16 value(const uint8_t* p, size_t j) { return Lanes16::from_f16(p + 32 * j); }
};
struct KvInt8 {
  static constexpr size_t kKeyBytes = kBlock;
  static constexpr size_t row_bytes(size_t width) { return width; }
  static Lanes16 key(const uint8_t* p, size_t j) {
    return Lanes16::from_i8(reinterpret_cast<const std::int8_t*>(p + 16 * j));
  }
  static Lanes16 value(const uint8_t* p, size_t j) { return key(p, j); }
};
struct KvInt4 {
  static constexpr size_t kKeyBytes = kBlock / 2;
  static constexpr size_t row_bytes(size_t width) { return (width + 31) / 32 * 16; }
  static Lanes16 key(const uint8_t* p, size_t j) {
    return j < 2 ? Lanes16::from_low4(p + 16 * j) : Lanes16::from_high4(p + 16 * (j - 2));
  }
  static Lanes16 value(const uint8_t* p, size_t j) {
    return j % 2 == 0 ? Lanes16::from_low4(p + 8 * j) : Lanes16::from_high4(p + 8 * (j - 1));
  }
};

// Asks for `lines` cache lines in about `steps` steps.
struct AheadWalk {
  const uint8_t *at, *end;
  size_t per_step;

  AheadWalk(Ahead ahead, size_t steps)
      : at(ahead.at),
        end(ahead.at + 64 * ahead.lines),
        per_step(steps == 0 ? 0 : (ahead.lines + steps - 1) / steps) {}
  void step() {
    for (size_t i = 0; i < per_step && at != end; ++i, at += 64) __builtin_prefetch(at, 0, 2);
  }
};

// Scores of `rows` query rows with `pieces` times 16 keys from piece `first` on. Unrolled by hand,
// as values_tile() is, because g++ 12 otherwise decides on registers before it unrolls, and stores
// every sum in every round (AVX2, NEON).
template <typename Kv, size_t rows, size_t pieces>
void keys_tile(const uint8_t* keys, size_t head_dim, size_t first, const float* q, float* s,
               Ahead ahead) {
  Lanes16 sum[rows][pieces];
#pragma GCC unroll 8
  for (size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (size_t j = 0; j < pieces; ++j) sum[r][j] = Lanes16::zero();
  }
  AheadWalk walk(ahead, head_dim);
  for (size_t d = 0; d < head_dim; ++d, keys += Kv::kKeyBytes, q += rows) {
    walk.step();
    Lanes16 key[pieces];
#pragma GCC unroll 8
    for (size_t j = 0; j < pieces; ++j) key[j] = Kv::key(keys, first + j);
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; ++r) {
      const Lanes16 qv = Lanes16::broadcast(q + r);
#pragma GCC unroll 8
      for (size_t j = 0; j < pieces; ++j) sum[r][j] = fma(qv, key[j], sum[r][j]);
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (size_t j = 0; j < pieces; ++j) sum[r][j].store(s + r * kBlock + 16 * (first + j));
  }
}

// The number of rows becomes a constant: the sums stay in registers.
template <typename Kv, size_t most>
void keys_rows(const uint8_t* keys, size_t head_dim, size_t pieces, const float* q, size_t rows,
               float* s, Ahead ahead) {
  if constexpr (most > 1) {
    if (rows < most) {
      return keys_rows<Kv, most - 1>(keys, head_dim, pieces, q, rows, s, ahead);
    }
  }
  size_t j = 0;
  for (; j + kAttendPieces <= pieces; j += kAttendPieces, ahead.lines = 0) {
    // As constants where they can be: int4 asks on which side of the middle a piece lies.
    keys_tile<Kv, most, kAttendPieces>(keys, head_dim, kAttendPieces == 4 ? 0 : j, q, s, ahead);
  }
  for (; j < pieces; ++j, ahead.lines = 0) {
    keys_tile<Kv, most, 1>(keys, head_dim, j, q, s, ahead);
  }
}

template <typename Kv>
void keys_dot(const uint8_t* keys, size_t head_dim, size_t pieces, const float* q, size_t rows,
              float* s, Ahead ahead) noexcept {
  keys_rows<Kv, kAttendRows>(keys, head_dim, pieces, q, rows, s, ahead);
}

// Absent positions are -infinity, whose exponential is the +0 that the order of sums asks for.
void softmax_rows(float* s, size_t rows, const size_t* counts, float scale,
                  const uint8_t* key_scales, const uint8_t* value_scales, float* max,
                  float* length) noexcept {
  const Lanes16 scales = Lanes16::set1(scale);
  for (size_t r = 0; r < rows; ++r, s += kBlock) {
    Lanes16 score[4];
    for (size_t j = 0; j < 4; ++j) {
      score[j] = Lanes16::load(s + 16 * j);
      if (key_scales != nullptr) score[j] = mul(score[j], Lanes16::from_f16(key_scales + 32 * j));
      score[j] = mul(score[j], scales);
    }
    if (counts[r] < kBlock) {
      for (size_t j = 0; j < 4; ++j) score[j].store(s + 16 * j);
      for (size_t i = counts[r]; i < kBlock; ++i) s[i] = -__builtin_inff();
      for (size_t j = 0; j < 4; ++j) score[j] = Lanes16::load(s + 16 * j);
    }
    max[r] = tree_max(larger(larger(score[0], score[1]), larger(score[2], score[3])));
    const Lanes16 highest = Lanes16::set1(max[r]);
    for (size_t j = 0; j < 4; ++j) score[j] = exp_lanes(sub(score[j], highest));
    length[r] = tree_sum(add(add(add(score[0], score[1]), score[2]), score[3]));
    for (size_t j = 0; j < 4; ++j) {
      if (value_scales != nullptr) {
        score[j] = mul(score[j], Lanes16::from_f16(value_scales + 32 * j));
      }
      score[j].store(s + 16 * j);
    }
    // A scale that was never stored may be anything, also a NaN.
    if (value_scales != nullptr) {
      for (size_t i = counts[r]; i < kBlock; ++i) s[i] = 0.0f;
    }
  }
}

void fold_rows(float* max, float* length, const float* next_max, const float* next_length,
               size_t rows, float* fa, float* fb) noexcept {
  each(rows, [=](auto part, size_t i, size_t n) {
    const Lanes16 a = part.load(max + i, n), b = part.load(next_max + i, n);
    const Lanes16 m = larger(a, b);
    const Lanes16 left = exp_lanes(sub(a, m)), right = exp_lanes(sub(b, m));
    const Lanes16 sum =
        add(mul(part.load(length + i, n), left), mul(part.load(next_length + i, n), right));
    part.store(m, max + i, n);
    part.store(sum, length + i, n);
    part.store(left, fa + i, n);
    part.store(right, fb + i, n);
  });
}

// `pieces` times 16 dimensions from piece `first` on, of `rows` rows.
template <typename Kv, size_t rows, size_t pieces>
void values_tile(const float* w, size_t positions, const uint8_t* values, size_t row_bytes,
                 size_t first, size_t width, const float* fa, const float* fb, float* o,
                 AheadWalk& walk) {
  Lanes16 sum[rows][pieces];
#pragma GCC unroll 8
  for (size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (size_t j = 0; j < pieces; ++j) sum[r][j] = Lanes16::zero();
  }
  for (size_t i = 0; i < positions; ++i, values += row_bytes) {
    walk.step();
    Lanes16 value[pieces];
#pragma GCC unroll 8
    for (size_t j = 0; j < pieces; ++j) value[j] = Kv::value(values, first + j);
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; ++r) {
      const Lanes16 weight = Lanes16::broadcast(w + r * kBlock + i);
#pragma GCC unroll 8
      for (size_t j = 0; j < pieces; ++j) sum[r][j] = fma(weight, value[j], sum[r][j]);
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < rows; ++r) {
    float* out = o + r * width + 16 * first;
    if (fa == nullptr) {
#pragma GCC unroll 8
      for (size_t j = 0; j < pieces; ++j) sum[r][j].store(out + 16 * j);
      continue;
    }
    const Lanes16 left = Lanes16::set1(fa[r]), right = Lanes16::set1(fb[r]);
#pragma GCC unroll 8
    for (size_t j = 0; j < pieces; ++j) {
      add(mul(Lanes16::load(out + 16 * j), left), mul(sum[r][j], right)).store(out + 16 * j);
    }
  }
}

template <typename Kv, size_t most>
void values_rows(const float* w, size_t rows, size_t positions, const uint8_t* values, size_t width,
                 const float* fa, const float* fb, float* o, Ahead ahead) {
  if constexpr (most > 1) {
    if (rows < most) {
      return values_rows<Kv, most - 1>(w, rows, positions, values, width, fa, fb, o, ahead);
    }
  }
  constexpr size_t kPanel = 4;  // Pieces of a panel.
  const size_t pieces = width / 16;
  AheadWalk walk(ahead, pieces / kPanel * (kPanel / kAttendPieces) * positions);
  for (size_t first = 0; first < pieces; first += kPanel) {
    const size_t n = pieces - first < kPanel ? pieces - first : kPanel;
    const size_t row_bytes = Kv::row_bytes(16 * n);
    float* out = o + 16 * first;
    if (n == kPanel && kAttendPieces == kPanel) {
      values_tile<Kv, most, kPanel>(w, positions, values, row_bytes, 0, width, fa, fb, out, walk);
    } else {
      for (size_t j = 0; j < n; ++j) {
        values_tile<Kv, most, 1>(w, positions, values, row_bytes, j, width, fa, fb, out, walk);
      }
    }
    values += kBlock * row_bytes;
  }
}

template <typename Kv>
void values_sum(const float* w, size_t rows, size_t positions, const uint8_t* values, size_t width,
                const float* fa, const float* fb, float* o, Ahead ahead) noexcept {
  values_rows<Kv, kAttendRows>(w, rows, positions, values, width, fa, fb, o, ahead);
}

void to_f16(const float* x, size_t n, uint8_t* out) noexcept {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) Lanes16::load(x + i).store_f16(out + 2 * i);
  if (i < n) {
    uint8_t last[32];
    Lanes16::load_part(x + i, n - i).store_f16(last);
    for (size_t b = 0; b < 2 * (n - i); ++b) out[2 * i + b] = last[b];
  }
}

void merge(float* a, float fa, const float* b, float fb, size_t n) noexcept {
  const Lanes16 left = Lanes16::set1(fa), right = Lanes16::set1(fb);
  each(n, [=](auto part, size_t i, size_t count) {
    part.store(add(mul(part.load(a + i, count), left), mul(part.load(b + i, count), right)), a + i,
               count);
  });
}

void divide(const float* a, float by, size_t n, float* out) noexcept {
  const Lanes16 divisor = Lanes16::set1(by);
  each(n, [=](auto part, size_t i, size_t count) {
    part.store(add(div(part.load(a + i, count), divisor), Lanes16::zero()), out + i, count);
  });
}

}  // namespace
}  // namespace tern::kernels
