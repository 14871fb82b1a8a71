// Splits the rows of a dense product among threads and panels; the arithmetic is in the tables.
#include "tern/kernels/dense.h"

#include <algorithm>

#include "tern/kernels/dense_kind.h"
#include "tern/kernels/dense_panel.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {

float dot(const KernelTable& k, const float* a, const float* b, std::size_t n) noexcept {
  float y;
  k.dense_gemv[kDenseF32](reinterpret_cast<const std::uint8_t*>(a), 0, 1, b, n, &y);
  return y;
}

void dense_matmul(const KernelTable& k, const DenseMatrix& w, const float* x, std::size_t x_stride,
                  std::size_t tokens, float* y, std::size_t y_stride, ThreadPool& pool) {
  const DenseKind kind = dense_kind(w.type);
  const std::size_t row_bytes = w.row_bytes();
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(w.bytes.data());
  if (tokens <= kFewTokens) {
    pool.parallel_for(w.rows, kPanelRows, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; r += kPanelRows) {  // A panel stays in cache.
        const std::size_t rows = std::min(kPanelRows, end - r);
        for (std::size_t t = 0; t < tokens; ++t) {
          k.dense_gemv[kind](bytes + r * row_bytes, row_bytes, rows, x + t * x_stride, w.cols,
                             y + t * y_stride + r);
        }
      }
    });
    return;
  }
  // Column c of a row starts at byte c / block * block_bytes: kPanelCols is whole blocks.
  const auto piece_bytes = static_cast<std::size_t>(*dtype_bytes(w.type, 1, kPanelCols));
  panel_matmul(k, w.rows, w.cols, x, x_stride, tokens, y, y_stride, pool,
               [&](std::size_t r, std::size_t c, std::size_t n, float* out) {
                 k.expand[kind](bytes + r * row_bytes + c / kPanelCols * piece_bytes, n, out);
               });
}

void dense_row(const KernelTable& k, const DenseMatrix& w, std::size_t r, float* out) {
  k.expand[dense_kind(w.type)](reinterpret_cast<const std::uint8_t*>(w.row(r)), w.cols, out);
}

}  // namespace tern::kernels
