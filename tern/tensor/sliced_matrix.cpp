// From Q6_K to planes and back.
#include "tern/tensor/sliced_matrix.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "tern/tensor/half.h"

namespace tern {
namespace {

constexpr std::size_t kQ6KBytes = 210;

// The 256 codes (0..63) of a block in the order of columns.
void q6k_codes(const std::uint8_t* p, std::uint8_t* codes) noexcept {
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t k = 0; k < 4; ++k) {
      const std::uint8_t* low = p + 64 * h + 32 * (k & 1);
      const std::uint8_t* high = p + 128 + 32 * h;
      for (std::size_t l = 0; l < 32; ++l) {
        const auto bits = static_cast<unsigned>((low[l] >> (4 * (k >> 1))) & 15);
        const auto top = static_cast<unsigned>((high[l] >> (2 * k)) & 3);
        codes[128 * h + 32 * k + l] = static_cast<std::uint8_t>(bits | (top << 4));
      }
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

struct SquareSums {
  double residual = 0, weight = 0;
};

// One block into its places; returns the sums of squares of w - w^ and of w.
SquareSums slice_block(const std::uint8_t* q6k, std::uint8_t* high, std::uint8_t* low,
                       std::uint8_t* scales, std::uint8_t* d) noexcept {
  std::uint8_t columns[kSlicedBlock], vectors[kSlicedBlock];
  q6k_codes(q6k, columns);
  to_vectors(columns, vectors);
  for (std::size_t i = 0; i < 64; ++i) {
    const unsigned v0 = vectors[i], v1 = vectors[64 + i], v2 = vectors[128 + i],
                   v3 = vectors[192 + i];
    high[i] = static_cast<std::uint8_t>((v0 >> 2) | ((v1 >> 2) << 4));
    high[64 + i] = static_cast<std::uint8_t>((v2 >> 2) | ((v3 >> 2) << 4));
    low[i] =
        static_cast<std::uint8_t>((v0 & 3) | ((v1 & 3) << 2) | ((v2 & 3) << 4) | ((v3 & 3) << 6));
  }
  std::memcpy(scales, q6k + 192, kSlicedGroups);
  std::memcpy(d, q6k + 208, 2);
  std::uint16_t bits;
  std::memcpy(&bits, d, 2);
  const auto scale = static_cast<double>(f16_to_float(bits));
  SquareSums sums;
  for (std::size_t g = 0; g < kSlicedGroups; ++g) {
    int residual = 0, weight = 0;  // Of 2 (low - 1.5) and q - 32.
    for (std::size_t i = 16 * g; i < 16 * g + 16; ++i) {
      const int twice = 2 * (columns[i] & 3) - 3, digit = columns[i] - 32;
      residual += twice * twice;
      weight += digit * digit;
    }
    const double s = scale * static_cast<std::int8_t>(scales[g]);
    sums.residual += s * s * residual / 4;
    sums.weight += s * s * weight;
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

SlicedMatrix::SlicedMatrix(const DenseMatrix& w, ThreadPool& pool)
    : SlicedMatrix(w.rows, w.cols / kSlicedBlock) {
  assert(w.type == DType::kQ6_K && w.cols % kSlicedBlock == 0);
  auto* records = reinterpret_cast<std::uint8_t*>(records_.data());
  auto* lows = reinterpret_cast<std::uint8_t*>(lows_.data());
  pool.parallel_for(rows_, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const auto* from = reinterpret_cast<const std::uint8_t*>(w.row(r));
      std::uint8_t* record = records + r * record_bytes();
      std::uint8_t* low = lows + r * low_bytes();
      SquareSums row;
      for (std::size_t b = 0; b < blocks_; ++b) {
        const SquareSums block = slice_block(from + b * kQ6KBytes, record + b * kSlicedHighBytes,
                                             low + b * kSlicedLowBytes,
                                             record + sliced_scales_at(blocks_) + b * kSlicedGroups,
                                             record + sliced_d_at(blocks_) + 2 * b);
        row.residual += block.residual;
        row.weight += block.weight;
      }
      const float residual = length_above(row.residual);
      const float norms[2] = {residual,
                              static_cast<float>((static_cast<double>(length_above(row.weight)) +
                                                  static_cast<double>(residual)) *
                                                 (1 + 0x1p-22))};
      std::memcpy(record + sliced_norms_at(blocks_), norms, sizeof(norms));
    }
  });
  for (std::size_t r = 0; r < rows_; ++r) {
    float norm;
    std::memcpy(&norm, record(r) + sliced_norms_at(blocks_) + sizeof(float), sizeof(float));
    largest_norm_ = std::max(largest_norm_, norm);
  }
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
    std::uint16_t bits;
    std::memcpy(&bits, record + sliced_d_at(blocks) + 2 * b, 2);
    const float d = f16_to_float(bits);
    for (std::size_t c = 0; c < kSlicedBlock; ++c) {
      const std::size_t g = c / 16, j = c % 16 / 4, at = 4 * g + c % 4;  // Byte `at` of vector j.
      const int high = (record[b * kSlicedHighBytes + 64 * (j / 2) + at] >> (4 * (j % 2))) & 15;
      const int low_bits = (low[b * kSlicedLowBytes + at] >> (2 * j)) & 3;
      const auto sc =
          static_cast<std::int8_t>(record[sliced_scales_at(blocks) + b * kSlicedGroups + g]);
      *out++ = (d * static_cast<float>(sc)) * static_cast<float>(4 * high + low_bits - 32);
    }
  }
}

}  // namespace tern
