// Ternary weights times int8 activations: the inside of every BitLinear.
#pragma once

#include <cstddef>
#include <span>

#include "tern/base/thread_pool.h"
#include "tern/kernels/dispatch.h"
#include "tern/kernels/quantize.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern::kernels {

// y[t * y_stride + r] = sum over c of w(r, c) x(t, c), for every token and row. Integer sums are
// exact; floats have one order, so that every instruction set, thread count and number of tokens
// gives the same bits:
//   scales per tensor or row, one activation scale:  y = float(sum) * (w_scale * x_scale)
//   w groups, one activation scale:   s = 0; for g in column order: s = s + float(sum_g) *
//   w_scale_g;
//                                     y = s * x_scale
//   activation groups (x.group != 0): s = 0; for g in order: s = s + float(sum_g) * (w_scale_g *
//   x_scale_g)
//                                     (w.group() must equal x.group)
// Requires x.cols == w.cols() < 2^24. Rows are split among threads, in panels; several tokens share
// each panel of weights (never a loop of matrix-vector products over the whole matrix).
void ternary_matmul(const KernelTable& k, const TernaryMatrix& w, const Int8Rows& x, float* y,
                    std::size_t y_stride, ThreadPool& pool);

// The same for several matrices that meet the same activations (q, k and v; gate and up): the
// threads share all their tiles in one step. All must allow x.group.
struct TernaryProduct {
  const TernaryMatrix* w;
  float* y;
  std::size_t y_stride;
};
void ternary_matmul(const KernelTable& k, std::span<const TernaryProduct> products,
                    const Int8Rows& x, ThreadPool& pool);

// The same product with float activations, for ternary heads, where nothing declares int8: each row
// is expanded to digit * scale and then multiplied as dense.h defines it.
void ternary_matmul_float(const KernelTable& k, const TernaryMatrix& w, const float* x,
                          std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride,
                          ThreadPool& pool);

// Row r as floats, digit * scale; `out` holds w.cols(). For embeddings.
void ternary_row(const TernaryMatrix& w, std::size_t r, float* out);

}  // namespace tern::kernels
