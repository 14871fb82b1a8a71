// A weight matrix as it stays in memory: ternary or not.
#pragma once

#include <variant>

#include "tern/tensor/dense_matrix.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern {

using Matrix = std::variant<DenseMatrix, TernaryMatrix>;

inline std::size_t matrix_rows(const Matrix& m) noexcept {
  const auto* t = std::get_if<TernaryMatrix>(&m);
  return t != nullptr ? t->rows() : std::get<DenseMatrix>(m).rows;
}
inline std::size_t matrix_cols(const Matrix& m) noexcept {
  const auto* t = std::get_if<TernaryMatrix>(&m);
  return t != nullptr ? t->cols() : std::get<DenseMatrix>(m).cols;
}
// Bytes that a product with the whole matrix reads.
inline std::size_t matrix_bytes(const Matrix& m) noexcept {
  const auto* t = std::get_if<TernaryMatrix>(&m);
  return t != nullptr ? t->bytes() : std::get<DenseMatrix>(m).bytes.size();
}

}  // namespace tern
