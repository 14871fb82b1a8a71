// The kernels of sliced matrices (tensor/sliced_matrix.h) that one instruction set offers. Internal
// to tern/kernels and its tests; the rules of kernel_table.h hold.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern::kernels {

// An activation row as int8, 16 columns to a scale, in the order of a sliced block: byte 4 l + i of
// vector j is column 16 l + 4 j + i. Group l of block b has the factor scales[16 b + l] and the sum
// sums[16 b + l] of its 16 digits.
struct SlicedInput {
  const std::int8_t* digits;    // 256 a block, -127..127.
  const std::int32_t* sums;     // 16 a block.
  const float* scales;          // 16 a block.
  float residual, norm, least;  // Of the bound (sliced.h): residual |w - w^| + norm |w| + least.
};

struct SlicedKernels {
  // upper[r] = approximation + bound, of `rows` records. Lane l of the approximation is
  //   sum over b in order of fma(d_b, (float(t) * scales[16 b + l]) * float(sc), lane),
  //   t = sum over the group of (4 high - 30.5) * 4 * digit = 16 S - 122 sums (an integer),
  // the lanes are added as dense.h's tree; times 1/4. Bound: fma(norms[0], residual, fma(norms[1],
  // norm, least)).
  void (*screen)(const std::uint8_t* records, std::size_t record_bytes, std::size_t rows,
                 std::size_t blocks, const SlicedInput& x, float* upper) noexcept;
  // The same lanes and tree with t = sum of (2 low - 3) * digit, times 1/2: what the low bits add.
  float (*low_part)(const std::uint8_t* record, const std::uint8_t* low, std::size_t blocks,
                    const SlicedInput& x) noexcept;
  // For panels: the codes (0..63) of a row in the order of the input's digits, and d * sc.
  void (*unpack)(const std::uint8_t* record, const std::uint8_t* low, std::size_t blocks,
                 std::uint8_t* codes, float* scales) noexcept;
  // y[t * y_stride + r] of rows unpacked one after the other (codes of 256 * blocks, scales of
  // 16 * blocks): lane l is the sum over b in order of fma(float(t) * x.scales[16 b + l],
  // scales[16 b + l], lane), t = sum of (code - 32) * digit; the tree.
  void (*panel)(const std::uint8_t* codes, const float* scales, std::size_t rows,
                std::size_t blocks, const SlicedInput* x, std::size_t tokens, float* y,
                std::size_t y_stride) noexcept;
  // `count` blocks from block `first` on as floats (sliced_row_to_float).
  void (*expand)(const std::uint8_t* record, const std::uint8_t* low, std::size_t blocks,
                 std::size_t first, std::size_t count, float* out) noexcept;
  // y[r] = dot(row r as floats, x) in dense.h's order.
  void (*gemv)(const std::uint8_t* records, std::size_t record_bytes, const std::uint8_t* lows,
               std::size_t low_bytes, std::size_t rows, std::size_t blocks, const float* x,
               float* y) noexcept;
};

extern const SlicedKernels kSlicedScalar;
#if defined(__x86_64__)
extern const SlicedKernels kSlicedAvx2;
extern const SlicedKernels kSlicedAvxVnni;
extern const SlicedKernels kSlicedAvx512Vnni;
#elif defined(__aarch64__)
extern const SlicedKernels kSlicedNeonDotprod;
#endif

}  // namespace tern::kernels
