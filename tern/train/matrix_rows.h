// Rows of libtorch's matrices, float32 or bfloat16, as floats.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "tern/train/row_math.h"

namespace tern::train::rows {

// Rows of a contiguous matrix of float32 or bfloat16, as floats.
class Reader {
 public:
  explicit Reader(const torch::Tensor& matrix);
  // Row `r`, in `scratch` where it had to be converted.
  const float* row(std::int64_t r, float* scratch) const;
  void copy(std::int64_t r, float* out) const { copy(r, 0, cols_, out); }
  void copy(std::int64_t r, std::int64_t first, std::int64_t n, float* out) const;

 private:
  const float* floats_ = nullptr;
  const at::BFloat16* halves_ = nullptr;
  std::int64_t cols_;
};
class Writer {
 public:
  // Columns [first, first + n) of rows of `matrix` (float32 or bfloat16) are written.
  explicit Writer(const torch::Tensor& matrix);
  void put(std::int64_t r, std::int64_t first, const float* from, std::int64_t n) const;

 private:
  float* floats_ = nullptr;
  at::BFloat16* halves_ = nullptr;
  std::int64_t cols_;
};

// Rows that one thread should take at least, so that starting it is worth it.
std::int64_t grain(std::int64_t cols);

}  // namespace tern::train::rows
