// Two types, one way to read and write them.
#include "tern/train/matrix_rows.h"

#include <algorithm>
#include <cstring>

namespace tern::train::rows {

Reader::Reader(const torch::Tensor& matrix) : cols_(matrix.size(-1)) {
  TORCH_CHECK(matrix.is_contiguous(), "a matrix of ", matrix.sizes(),
              " with gaps found, expected a contiguous one");
  if (matrix.scalar_type() == torch::kBFloat16) {
    halves_ = matrix.data_ptr<at::BFloat16>();
  } else {
    floats_ = matrix.data_ptr<float>();
  }
}

const float* Reader::row(std::int64_t r, float* scratch) const {
  if (floats_ != nullptr) return floats_ + r * cols_;
  widen(halves_ + r * cols_, cols_, scratch);
  return scratch;
}

void Reader::copy(std::int64_t r, std::int64_t first, std::int64_t n, float* out) const {
  if (floats_ != nullptr) {
    std::memcpy(out, floats_ + r * cols_ + first, static_cast<std::size_t>(n) * sizeof(float));
  } else {
    widen(halves_ + r * cols_ + first, n, out);
  }
}

Writer::Writer(const torch::Tensor& matrix) : cols_(matrix.size(-1)) {
  TORCH_CHECK(matrix.is_contiguous(), "a matrix of ", matrix.sizes(),
              " with gaps found, expected a contiguous one");
  if (matrix.scalar_type() == torch::kBFloat16) {
    halves_ = matrix.data_ptr<at::BFloat16>();
  } else {
    floats_ = matrix.data_ptr<float>();
  }
}

void Writer::put(std::int64_t r, std::int64_t first, const float* from, std::int64_t n) const {
  if (halves_ != nullptr) {
    narrow(from, n, halves_ + r * cols_ + first);
  } else {
    std::memcpy(floats_ + r * cols_ + first, from, static_cast<std::size_t>(n) * sizeof(float));
  }
}

std::int64_t grain(std::int64_t cols) {
  return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(cols, 1));
}

}  // namespace tern::train::rows
