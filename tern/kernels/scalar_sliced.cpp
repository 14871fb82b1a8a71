// The reference of the kernels of sliced matrices. Written to be read.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "tern/kernels/kernel_table.h"
#include "tern/kernels/sliced_kernels.h"
#include "tern/tensor/half.h"
#include "tern/tensor/sliced_matrix.h"

namespace tern::kernels {
namespace {

using Lanes = std::array<float, kLanes>;

float tree_sum(Lanes lanes) noexcept {
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t l = 0; l < width; ++l) lanes[l] = lanes[l] + lanes[l + width];
  }
  return lanes[0];
}

float d_at(const std::uint8_t* record, std::size_t b) noexcept {
  std::uint16_t bits;
  std::memcpy(&bits, record + sliced_d_at() + 2 * b, 2);
  return f16_to_float(bits);
}

float scale_at(const std::uint8_t* record, std::size_t blocks, std::size_t group) noexcept {
  return static_cast<float>(static_cast<std::int8_t>(record[sliced_scales_at(blocks) + group]));
}

// Byte `at` of vector j of block b.
int high_at(const std::uint8_t* record, std::size_t blocks, std::size_t b, std::size_t j,
            std::size_t at) noexcept {
  return (record[sliced_high_at(blocks) + b * kSlicedHighBytes + 64 * (j / 2) + at] >>
          (4 * (j % 2))) &
         15;
}
int low_at(const std::uint8_t* low, std::size_t b, std::size_t j, std::size_t at) noexcept {
  return (low[b * kSlicedLowBytes + at] >> (2 * j)) & 3;
}

// Sum over group l of block b of weight(j, byte) * digit.
template <typename Weight>
std::int32_t group_sum(const SlicedInput& x, std::size_t b, std::size_t l, const Weight& weight) {
  std::int32_t sum = 0;
  for (std::size_t j = 0; j < 4; ++j) {
    for (std::size_t at = 4 * l; at < 4 * l + 4; ++at) {
      sum += weight(j, at) * x.digits[b * kSlicedBlock + 64 * j + at];
    }
  }
  return sum;
}

// The lanes and the tree of screen() and low_part().
template <typename GroupSum>
float lanes_sum(const std::uint8_t* record, std::size_t blocks, const SlicedInput& x,
                const GroupSum& sum) {
  Lanes lanes{};
  for (std::size_t b = 0; b < blocks; ++b) {
    const float d = d_at(record, b);
    for (std::size_t l = 0; l < kLanes; ++l) {
      const std::size_t group = kSlicedGroups * b + l;
      const float scaled =
          (static_cast<float>(sum(b, l)) * x.scales[group]) * scale_at(record, blocks, group);
      lanes[l] = std::fma(d, scaled, lanes[l]);
    }
  }
  return tree_sum(lanes);
}

void screen(const std::uint8_t* records, std::size_t record_bytes, std::size_t rows,
            std::size_t blocks, const SlicedInput& x, float* upper) noexcept {
  for (std::size_t r = 0; r < rows; ++r, records += record_bytes) {
    const float sum = lanes_sum(records, blocks, x, [&](std::size_t b, std::size_t l) {
      const std::int32_t high = group_sum(x, b, l, [&](std::size_t j, std::size_t at) {
        return high_at(records, blocks, b, j, at);
      });
      return 16 * high - 122 * x.sums[kSlicedGroups * b + l];
    });
    float norms[2];
    std::memcpy(norms, records, sizeof(norms));
    const float bound = std::fma(norms[0], x.residual, std::fma(norms[1], x.norm, x.least));
    upper[r] = sum * 0.25f + bound;
  }
}

float low_part(const std::uint8_t* record, const std::uint8_t* low, std::size_t blocks,
               const SlicedInput& x) noexcept {
  return 0.5f * lanes_sum(record, blocks, x, [&](std::size_t b, std::size_t l) {
           return 2 * group_sum(
                          x, b, l,
                          [&](std::size_t j, std::size_t at) { return low_at(low, b, j, at); }) -
                  3 * x.sums[kSlicedGroups * b + l];
         });
}

void unpack(const std::uint8_t* record, const std::uint8_t* low, std::size_t blocks,
            std::uint8_t* codes, float* scales) noexcept {
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t j = 0; j < 4; ++j) {
      for (std::size_t at = 0; at < 64; ++at) {
        *codes++ = static_cast<std::uint8_t>(4 * high_at(record, blocks, b, j, at) +
                                             low_at(low, b, j, at));
      }
    }
    for (std::size_t l = 0; l < kSlicedGroups; ++l) {
      *scales++ = d_at(record, b) * scale_at(record, blocks, kSlicedGroups * b + l);
    }
  }
}

void panel(const std::uint8_t* codes, const float* scales, std::size_t rows, std::size_t blocks,
           const SlicedInput* x, std::size_t tokens, float* y, std::size_t y_stride) noexcept {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t r = 0; r < rows; ++r) {
      Lanes lanes{};
      for (std::size_t b = 0; b < blocks; ++b) {
        const std::uint8_t* block = codes + (r * blocks + b) * kSlicedBlock;
        for (std::size_t l = 0; l < kLanes; ++l) {
          const std::int32_t sum = group_sum(
              x[t], b, l, [&](std::size_t j, std::size_t at) { return block[64 * j + at] - 32; });
          const std::size_t group = kSlicedGroups * b + l;
          lanes[l] = std::fma(static_cast<float>(sum) * x[t].scales[group],
                              scales[r * blocks * kSlicedGroups + group], lanes[l]);
        }
      }
      y[t * y_stride + r] = tree_sum(lanes);
    }
  }
}

void gemv(const std::uint8_t* records, std::size_t record_bytes, const std::uint8_t* lows,
          std::size_t low_bytes, std::size_t rows, std::size_t blocks, const float* x,
          float* y) noexcept {
  for (std::size_t r = 0; r < rows; ++r) {
    Lanes lanes{};
    for (std::size_t b = 0; b < blocks; ++b) {
      float values[kSlicedBlock];
      sliced_row_to_float(records + r * record_bytes, lows + r * low_bytes, blocks, b, 1, values);
      for (std::size_t i = 0; i < kSlicedBlock; ++i) {
        lanes[i % kLanes] = std::fma(values[i], x[b * kSlicedBlock + i], lanes[i % kLanes]);
      }
    }
    y[r] = tree_sum(lanes);
  }
}

}  // namespace

constinit const SlicedKernels kSlicedScalar{
    .screen = screen,
    .low_part = low_part,
    .unpack = unpack,
    .panel = panel,
    .expand = sliced_row_to_float,
    .gemv = gemv,
};

}  // namespace tern::kernels
