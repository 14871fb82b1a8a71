// Full-precision and block-quantised weights times float activations: embeddings, heads, baselines.
#pragma once

#include <cstddef>

#include "tern/base/thread_pool.h"
#include "tern/kernels/dispatch.h"
#include "tern/tensor/dense_matrix.h"

namespace tern::kernels {

// The one order of a float dot product: 16 lanes, lane l summing a[i] b[i] for i = l mod 16 in
// order with fused multiply-add (both operands padded with +0 to a multiple of 16), then lanes
// added as a tree: l + (l + 8), l + (l + 4), l + (l + 2), l + (l + 1).
float dot(const KernelTable& k, const float* a, const float* b, std::size_t n) noexcept;

// y[t * y_stride + r] = dot(row r of w as floats, x row t). w's values are exactly those of
// tensor/dense_row.h. Rows are split among threads; each row is read and expanded once for all
// tokens of a chunk.
void dense_matmul(const KernelTable& k, const DenseMatrix& w, const float* x, std::size_t x_stride,
                  std::size_t tokens, float* y, std::size_t y_stride, ThreadPool& pool);

// Row r as floats; `out` holds w.cols.
void dense_row(const KernelTable& k, const DenseMatrix& w, std::size_t r, float* out);

}  // namespace tern::kernels
