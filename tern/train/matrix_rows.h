// Rows of libtorch's matrices, float32 or bfloat16, as floats.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "tern/train/row_math.h"

namespace tern::train::rows {

// A contiguous matrix of float32 or bfloat16; one of the pointers is not null.
struct MatrixData {
  explicit MatrixData(const torch::Tensor& matrix);
  float* floats = nullptr;
  at::BFloat16* halves = nullptr;
  std::int64_t cols;
};

class Reader {
 public:
  explicit Reader(const torch::Tensor& matrix) : m_(matrix) {}
  // Row `r`, in `scratch` where it had to be converted.
  const float* row(std::int64_t r, float* scratch) const;
  void copy(std::int64_t r, float* out) const { copy(r, 0, m_.cols, out); }
  void copy(std::int64_t r, std::int64_t first, std::int64_t n, float* out) const;

 private:
  MatrixData m_;
};
class Writer {
 public:
  explicit Writer(const torch::Tensor& matrix) : m_(matrix) {}
  // Columns [first, first + n) of row `r`.
  void put(std::int64_t r, std::int64_t first, const float* from, std::int64_t n) const;

 private:
  MatrixData m_;
};

// Rows that one thread should take at least, so that starting it is worth it.
std::int64_t grain(std::int64_t cols);

}  // namespace tern::train::rows
