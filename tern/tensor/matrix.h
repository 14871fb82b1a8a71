// A weight matrix as it stays in memory: ternary or not; a model's head may be sliced.
#pragma once

#include <variant>

#include "tern/tensor/dense_matrix.h"
#include "tern/tensor/sliced_matrix.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern {

// Checkpoints give the first two; a Model slices its head (model/model.h).
using Matrix = std::variant<DenseMatrix, TernaryMatrix, SlicedMatrix>;

inline std::size_t matrix_rows(const Matrix& m) noexcept {
  if (const auto* t = std::get_if<TernaryMatrix>(&m)) return t->rows();
  if (const auto* s = std::get_if<SlicedMatrix>(&m)) return s->rows();
  return std::get<DenseMatrix>(m).rows;
}
inline std::size_t matrix_cols(const Matrix& m) noexcept {
  if (const auto* t = std::get_if<TernaryMatrix>(&m)) return t->cols();
  if (const auto* s = std::get_if<SlicedMatrix>(&m)) return s->cols();
  return std::get<DenseMatrix>(m).cols;
}
// Bytes that a product with the whole matrix reads.
inline std::size_t matrix_bytes(const Matrix& m) noexcept {
  if (const auto* t = std::get_if<TernaryMatrix>(&m)) return t->bytes();
  if (const auto* s = std::get_if<SlicedMatrix>(&m)) return s->bytes();
  return std::get<DenseMatrix>(m).bytes.size();
}

}  // namespace tern
