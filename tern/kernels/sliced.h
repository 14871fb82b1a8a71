// Products with sliced matrices: exact ones, and bounds from the high bits alone.
//
// What a screen proves. Take a row w (the floats of the matrix, which are exact products), its
// approximation v without the low bits, the hidden state h and its int8 form g, all as real
// vectors, |.| their lengths. Then
//
//   w.h = v.g + (w - v).h + v.(h - g),  so  |w.h - v.g| <= |w - v| |h| + |v| |h - g|   (Cauchy).
//
// The logit that dense.h computes differs from w.h by at most gamma(n / 16 + 5) |w| |h|: a lane is
// n / 16 fused steps, the tree 4. The approximation that a kernel computes differs from v.g by at
// most gamma(n / 256 + 8) |v| |g|: its integers are exact, a group is rounded twice, then n / 256
// fused steps and the tree. With |v|, |w| <= N = |w| + |w - v| and |g| <= |h| + |h - g|,
//
//   logit <= approximation + |w - v| |h| + N (|h - g| + (gamma + gamma') (|h| + |h - g|)) + least.
//
// `least` stands for what underflow can take: below 2^-110 for the sizes that are let through.
// The few roundings of the bound itself are in the factors, which are a little larger than these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/base/aligned_buffer.h"
#include "tern/base/thread_pool.h"
#include "tern/kernels/dispatch.h"
#include "tern/kernels/sliced_kernels.h"
#include "tern/tensor/sliced_matrix.h"

namespace tern::kernels {

// Rows of activations made ready for screens of one matrix. Sized once, filled again and again.
class ScreenInput {
 public:
  void resize(std::size_t tokens, std::size_t blocks);
  std::size_t tokens() const noexcept { return inputs_.size(); }
  // Row t from `h`, 256 * blocks floats. False where the bound does not hold: `h` is not finite, or
  // numbers so large meet that a sum could overflow; then only exact products may be used.
  bool set(std::size_t t, const float* h, const SlicedMatrix& w);

  const SlicedInput& operator[](std::size_t t) const noexcept { return inputs_[t]; }
  const SlicedInput* data() const noexcept { return inputs_.data(); }
  // Where every bit of a row was seen, its bound is N * fine(t) + least.
  float fine(std::size_t t) const noexcept { return fine_[t]; }

 private:
  std::size_t blocks_ = 0;
  AlignedBuffer digits_, sums_, scales_;
  std::vector<SlicedInput> inputs_;
  std::vector<float> fine_;
};

// Rows of a matrix whose largest upper bound is kept.
inline constexpr std::size_t kScreenPanel = 64;

// upper[r] >= logit of row r, from the records; panel_max[i] is the largest of rows 64 i ... + 63.
void screen(const KernelTable& k, const SlicedMatrix& w, const SlicedInput& x, float* upper,
            float* panel_max, ThreadPool& pool);

// A closer bound for row r from its screen's bound; reads scales, norms and low bits (touched_bytes
// of them).
float closer_bound(const KernelTable& k, const SlicedMatrix& w, const ScreenInput& x, std::size_t t,
                   std::size_t r, float upper) noexcept;
std::size_t closer_bound_bytes(const SlicedMatrix& w) noexcept;
void prefetch_closer_bound(const SlicedMatrix& w, std::size_t r) noexcept;

// The same close bounds for all rows and tokens of `x` in one pass over the matrix:
// upper[t * stride + r] and panel_max[t * panel_stride + i].
void screen_many(const KernelTable& k, const SlicedMatrix& w, const ScreenInput& x, float* upper,
                 std::size_t stride, float* panel_max, std::size_t panel_stride, ThreadPool& pool);

// Exact products, as dense_matmul() and dense_row() give them of the Q6_K matrix.
void sliced_matmul(const KernelTable& k, const SlicedMatrix& w, const float* x,
                   std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride,
                   ThreadPool& pool);
float sliced_dot(const KernelTable& k, const SlicedMatrix& w, std::size_t r,
                 const float* x) noexcept;
void sliced_row(const KernelTable& k, const SlicedMatrix& w, std::size_t r, float* out);

}  // namespace tern::kernels
