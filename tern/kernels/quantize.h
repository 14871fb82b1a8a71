// Activations to int8 by absolute maximum, per token or per group of columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/base/aligned_buffer.h"
#include "tern/base/thread_pool.h"
#include "tern/kernels/dispatch.h"

namespace tern::kernels {

// int8 rows and their scales: x[t][c] is about q[t][c] * scale(t, c / group). Room is made once and
// reused. Row t starts at q + t * stride; columns past `cols` up to `stride` (whole fields, and at
// least whole blocks of every ternary layout) are 0.
struct Int8Rows {
  std::size_t tokens = 0, cols = 0, stride = 0;
  std::size_t group = 0;           // Columns per scale; 0: one scale for the whole row.
  std::size_t groups = 0;          // Scales per row.
  AlignedBuffer storage;           // int8
  std::vector<float> scales;       // (tokens, groups): max(absmax, 1e-5) / 127.
  std::vector<std::int32_t> sums;  // (tokens, stride / 64): sum of q over each 64-column field.

  const std::int8_t* row(std::size_t t) const noexcept {
    return storage.as<std::int8_t>().data() + t * stride;
  }
  // Makes room for this shape, keeping what memory there is; contents become undefined.
  void resize(std::size_t new_tokens, std::size_t new_cols, std::size_t new_group);
};

// For each token and group: a = max(max|x|, 1e-5), s = 127 / a (float32), q =
// clamp(round_half_even(x * s), -128, 127), scale = a / 127 (b1.58: absmax, per token). `out` has
// been resized to (tokens, cols, group). x holds finite values, row t at x + t * x_stride. Tokens
// are split among threads.
void quantize_rows(const KernelTable& k, const float* x, std::size_t x_stride, Int8Rows& out,
                   ThreadPool& pool);

}  // namespace tern::kernels
