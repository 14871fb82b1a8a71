// Two types, one way to read and write them.
#include "tern/train/matrix_rows.h"

#include <algorithm>
#include <cstring>

namespace tern::train::rows {

MatrixData::MatrixData(const torch::Tensor& matrix) : cols(matrix.size(-1)) {
  TORCH_CHECK(matrix.is_contiguous(), "a matrix of ", matrix.sizes(),
              " with gaps found, expected a contiguous one");
  if (matrix.scalar_type() == torch::kBFloat16) {
    halves = matrix.data_ptr<at::BFloat16>();
  } else {
    floats = matrix.data_ptr<float>();
  }
}

const float* Reader::row(std::int64_t r, float* scratch) const {
  if (m_.floats != nullptr) return m_.floats + r * m_.cols;
  widen(m_.halves + r * m_.cols, m_.cols, scratch);
  return scratch;
}

void Reader::copy(std::int64_t r, std::int64_t first, std::int64_t n, float* out) const {
  if (m_.floats != nullptr) {
    std::memcpy(out, m_.floats + r * m_.cols + first, static_cast<std::size_t>(n) * sizeof(float));
  } else {
    widen(m_.halves + r * m_.cols + first, n, out);
  }
}

void Writer::put(std::int64_t r, std::int64_t first, const float* from, std::int64_t n) const {
  if (m_.halves != nullptr) {
    narrow(from, n, m_.halves + r * m_.cols + first);
  } else {
    std::memcpy(m_.floats + r * m_.cols + first, from, static_cast<std::size_t>(n) * sizeof(float));
  }
}

std::int64_t grain(std::int64_t cols) {
  return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(cols, 1));
}

}  // namespace tern::train::rows
