// Rotary position embedding, rotate-half order.
#pragma once

#include <cstddef>
#include <span>

#include "tern/base/aligned_buffer.h"
#include "tern/kernels/dispatch.h"

namespace tern::kernels {

// cos and sin of position * frequency, as floats rounded from double; const after construction and
// shared by threads.
class RopeTable {
 public:
  // `frequencies` holds head_dim / 2 radians per position.
  RopeTable(std::size_t positions, std::span<const double> frequencies);
  std::size_t positions() const noexcept { return positions_; }
  const float* cos(std::size_t position) const noexcept;  // head_dim / 2 values.
  const float* sin(std::size_t position) const noexcept;

 private:
  std::size_t positions_, half_;
  AlignedBuffer values_;
};

// For each of `heads` heads of head_dim floats in x, and i < head_dim / 2:
//   a = x[i], b = x[i + head_dim / 2];  x[i] = a cos - b sin;  x[i + head_dim / 2] = b cos + a sin
// with each product and sum rounded (no fused multiply-add).
void rope(const KernelTable& k, float* x, std::size_t heads, std::size_t head_dim, const float* cos,
          const float* sin) noexcept;

}  // namespace tern::kernels
