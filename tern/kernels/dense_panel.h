// Float products by panels: a few rows are expanded piece by piece and meet every token of a chunk.
// Internal to tern/kernels.
#pragma once

#include <algorithm>
#include <cstddef>

#include "tern/base/thread_pool.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {

inline constexpr std::size_t kPanelRows = 4;
inline constexpr std::size_t kPanelCols = 1024;  // 16 KiB of floats with kPanelRows.
inline constexpr std::size_t kChunkTokens = 64;
inline constexpr std::size_t kFewTokens = 2;  // Below this an expansion is not worth storing.
static_assert(kPanelCols % kLanes == 0 && kPanelCols % 256 == 0);

// lanes[0..15] added as the tree of dense.h.
inline float tree_sum(const float* lanes) noexcept {
  float sum[kLanes];
  std::copy_n(lanes, kLanes, sum);
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t l = 0; l < width; ++l) sum[l] = sum[l] + sum[l + width];
  }
  return sum[0];
}

// expand(r, c, n, out) writes columns [c, c + n) of row r; c is a multiple of kPanelCols. Sums keep
// their 16 lanes from piece to piece, so that the pieces cannot be seen in the result.
template <typename Expand>
void panel_matmul(const KernelTable& k, std::size_t rows, std::size_t cols, const float* x,
                  std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride,
                  ThreadPool& pool, const Expand& expand) {
  pool.parallel_for(rows, kPanelRows, [&](std::size_t begin, std::size_t end) {
    alignas(64) float panel[kPanelRows * kPanelCols];
    alignas(64) float lanes[kChunkTokens * kPanelRows * kLanes];
    for (std::size_t t0 = 0; t0 < tokens; t0 += kChunkTokens) {
      const std::size_t chunk = std::min(kChunkTokens, tokens - t0);
      for (std::size_t r0 = begin; r0 < end; r0 += kPanelRows) {
        const std::size_t height = std::min(kPanelRows, end - r0);
        std::fill_n(lanes, chunk * height * kLanes, 0.0f);
        for (std::size_t c = 0; c < cols; c += kPanelCols) {
          const std::size_t n = std::min(kPanelCols, cols - c);
          for (std::size_t i = 0; i < height; ++i) expand(r0 + i, c, n, panel + i * kPanelCols);
          k.dot_lanes(panel, kPanelCols, height, x + t0 * x_stride + c, x_stride, chunk, n, lanes);
        }
        for (std::size_t t = 0; t < chunk; ++t) {
          for (std::size_t i = 0; i < height; ++i) {
            y[(t0 + t) * y_stride + r0 + i] = tree_sum(lanes + (t * height + i) * kLanes);
          }
        }
      }
    }
  });
}

}  // namespace tern::kernels
