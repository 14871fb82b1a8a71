// From Q6_K to planes and back.
#include "tern/tensor/sliced_matrix.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>
#include <cstring>

#include "tern/base/mapped_file.h"
#include "tern/tensor/half.h"

namespace tern {
namespace {

constexpr std::size_t kQ6KBytes = 210;
constexpr std::size_t kDropRows = 2048;  // Whose file pages go at once.

// The 256 codes (0..63) of a block in the order of columns. Constant shifts and no branches here
// and below: a model has a million blocks to slice, and compilers make these loops wide.
void q6k_codes(const std::uint8_t* p, std::uint8_t* codes) noexcept {
  for (std::size_t h = 0; h < 2; ++h, codes += 128) {
    const std::uint8_t* low = p + 64 * h;
    const std::uint8_t* high = p + 128 + 32 * h;
    for (std::size_t l = 0; l < 32; ++l) {
      const std::uint8_t a = low[l], b = low[32 + l], top = high[l];
      codes[l] = static_cast<std::uint8_t>((a & 15) | ((top & 3) << 4));
      codes[32 + l] = static_cast<std::uint8_t>((b & 15) | ((top & 12) << 2));
      codes[64 + l] = static_cast<std::uint8_t>((a >> 4) | (top & 48));
      codes[96 + l] = static_cast<std::uint8_t>((b >> 4) | ((top & 192) >> 2));
    }
  }
}

// Dword l of vector j is dword 4 l + j of the columns' order.
void to_vectors(const std::uint8_t* columns, std::uint8_t* vectors) noexcept {
  for (std::size_t l = 0; l < kSlicedGroups; ++l) {
    for (std::size_t j = 0; j < 4; ++j) {
      std::memcpy(vectors + 64 * j + 4 * l, columns + 16 * l + 4 * j, 4);
    }
  }
}

void pack_planes(const std::uint8_t* v, std::uint8_t* high, std::uint8_t* low) noexcept {
  for (std::size_t i = 0; i < 64; ++i) {
    const std::uint8_t v0 = v[i], v1 = v[64 + i], v2 = v[128 + i], v3 = v[192 + i];
    high[i] = static_cast<std::uint8_t>((v0 >> 2) | ((v1 & 60) << 2));
    high[64 + i] = static_cast<std::uint8_t>((v2 >> 2) | ((v3 & 60) << 2));
    low[i] = static_cast<std::uint8_t>((v0 & 3) | ((v1 & 3) << 2) | ((v2 & 3) << 4) | (v3 << 6));
  }
}

float d_of(const std::uint8_t* p) noexcept {
  std::uint16_t bits;
  std::memcpy(&bits, p, 2);
  return f16_to_float(bits);
}

struct SquareSums {
  double residual = 0, weight = 0;
};

// Of w - w^ and of w, for the vectors of a block.
SquareSums square_sums(const std::uint8_t* v, const std::uint8_t* scales, float d) noexcept {
  std::int16_t residual[64], weight[64];  // Of 2 (low - 1.5) and q - 32; four of at most 32 * 32.
  for (std::size_t i = 0; i < 64; ++i) {
    std::int16_t r = 0, w = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      const auto twice = static_cast<std::int16_t>(2 * (v[64 * j + i] & 3) - 3);
      const auto digit = static_cast<std::int16_t>(v[64 * j + i] - 32);
      r = static_cast<std::int16_t>(r + static_cast<std::int16_t>(twice * twice));
      w = static_cast<std::int16_t>(w + static_cast<std::int16_t>(digit * digit));
    }
    residual[i] = r;
    weight[i] = w;
  }
  SquareSums sums;
  for (std::size_t l = 0; l < kSlicedGroups; ++l) {
    const std::int16_t *r = residual + 4 * l, *w = weight + 4 * l;
    const double s = static_cast<double>(d) * static_cast<std::int8_t>(scales[l]);
    sums.residual += s * s * (r[0] + r[1] + r[2] + r[3]) / 4;
    sums.weight += s * s * (w[0] + w[1] + w[2] + w[3]);
  }
  return sums;
}

// At least the root of a sum of at most 2^20 squares that was rounded in each step.
float length_above(double squares) noexcept {
  return static_cast<float>(std::sqrt(squares) * (1 + 0x1p-22));
}

}  // namespace

SlicedMatrix::SlicedMatrix(std::size_t rows, std::size_t blocks)
    : rows_(rows),
      blocks_(blocks),
      records_(rows * sliced_record_bytes(blocks)),
      lows_(rows * blocks * kSlicedLowBytes) {}

SlicedMatrix::SlicedMatrix(const DenseMatrix& w, ThreadPool& pool, bool drop_file_pages)
    : SlicedMatrix(w.rows, w.cols / kSlicedBlock) {
  assert(w.type == DType::kQ6_K && w.cols % kSlicedBlock == 0);
  auto* records = reinterpret_cast<std::uint8_t*>(records_.data());
  auto* lows = reinterpret_cast<std::uint8_t*>(lows_.data());
  std::atomic<float> largest{0};
  pool.parallel_for(rows_, 1, [&](std::size_t begin, std::size_t end) {
    float largest_here = 0;
    for (std::size_t r = begin; r < end; ++r) {
      const auto* from = reinterpret_cast<const std::uint8_t*>(w.row(r));
      std::uint8_t* record = records + r * record_bytes();
      std::uint8_t* low = lows + r * low_bytes();
      SquareSums row;
      for (std::size_t b = 0; b < blocks_; ++b) {
        const std::uint8_t* q6k = from + b * kQ6KBytes;
        std::uint8_t columns[kSlicedBlock], vectors[kSlicedBlock];
        q6k_codes(q6k, columns);
        to_vectors(columns, vectors);
        pack_planes(vectors, record + sliced_high_at(blocks_) + b * kSlicedHighBytes,
                    low + b * kSlicedLowBytes);
        std::memcpy(record + sliced_scales_at(blocks_) + b * kSlicedGroups, q6k + 192,
                    kSlicedGroups);
        std::memcpy(record + sliced_d_at() + 2 * b, q6k + 208, 2);
        const SquareSums block = square_sums(vectors, q6k + 192, d_of(q6k + 208));
        row.residual += block.residual;
        row.weight += block.weight;
      }
      const float residual = length_above(row.residual);
      const float norms[2] = {residual,
                              static_cast<float>((static_cast<double>(length_above(row.weight)) +
                                                  static_cast<double>(residual)) *
                                                 (1 + 0x1p-22))};
      std::memcpy(record, norms, sizeof(norms));
      largest_here = std::max(largest_here, norms[1]);
      if (drop_file_pages && (r % kDropRows == kDropRows - 1 || r + 1 == end)) {
        const std::size_t first = std::max(begin, r / kDropRows * kDropRows);
        drop_pages(w.bytes.subspan(first * w.row_bytes(), (r + 1 - first) * w.row_bytes()));
      }
    }
    float known = largest.load();
    while (known < largest_here && !largest.compare_exchange_weak(known, largest_here)) {
    }
  });
  largest_norm_ = largest;
}

SlicedMatrix SlicedMatrix::pick(std::span<const std::size_t> rows) const {
  SlicedMatrix some(rows.size(), blocks_);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(some.records_.data() + i * record_bytes(), record(rows[i]), record_bytes());
    std::memcpy(some.lows_.data() + i * low_bytes(), low(rows[i]), low_bytes());
  }
  some.largest_norm_ = largest_norm_;
  return some;
}

void sliced_row_to_float(const std::uint8_t* record, const std::uint8_t* low, std::size_t blocks,
                         std::size_t first, std::size_t count, float* out) noexcept {
  for (std::size_t b = first; b < first + count; ++b) {
    const float d = d_of(record + sliced_d_at() + 2 * b);
    for (std::size_t c = 0; c < kSlicedBlock; ++c) {
      const std::size_t g = c / 16, j = c % 16 / 4, at = 4 * g + c % 4;  // Byte `at` of vector j.
      const int high = (record[sliced_high_at(blocks) + b * kSlicedHighBytes + 64 * (j / 2) + at] >>
                        (4 * (j % 2))) &
                       15;
      const int low_bits = (low[b * kSlicedLowBytes + at] >> (2 * j)) & 3;
      const auto sc =
          static_cast<std::int8_t>(record[sliced_scales_at(blocks) + b * kSlicedGroups + g]);
      *out++ = (d * static_cast<float>(sc)) * static_cast<float>(4 * high + low_bits - 32);
    }
  }
}

}  // namespace tern
