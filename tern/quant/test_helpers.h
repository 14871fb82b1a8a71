// Goldens as values, and matrices to make up. For the tests of tern/quant.
#pragma once

#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "tern/quant/ternary_codec.h"

namespace tern::quant::testing {

inline std::vector<std::byte> from_hex(std::string_view text) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(16 * value(text[i]) + value(text[i + 1])));
  }
  return bytes;
}

inline std::vector<float> floats_from_hex(std::string_view text) {
  const std::vector<std::byte> bytes = from_hex(text);
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), bytes.size());
  return floats;
}

// '-', '0', '+', row after row, as the goldens have it.
inline std::string digit_text(const TernaryMatrix& matrix) {
  std::string text;
  for (std::size_t r = 0; r < matrix.rows(); ++r) {
    for (std::size_t c = 0; c < matrix.cols(); ++c) {
      text += "-0+"[static_cast<std::size_t>(matrix.digit(r, c) + 1)];
    }
  }
  return text;
}

inline TensorView view_of(DType type, std::uint64_t rows, std::uint64_t cols,
                          const std::vector<std::byte>& bytes) {
  return {"w", type, {rows, cols}, bytes};
}

// Random digits, and scales between 0.5 and 1.5 of the given kind.
inline TernaryMatrix random_matrix(std::size_t rows, std::size_t cols, ScaleKind kind,
                                   std::size_t group, unsigned seed) {
  std::mt19937 random(seed);
  const std::size_t count = kind == ScaleKind::kTensor ? 1
                            : kind == ScaleKind::kRow  ? rows
                                                       : rows * ((cols + group - 1) / group);
  std::vector<float> scales(count);
  for (float& s : scales) s = 0.5f + static_cast<float>(random() % 1024) / 1024.0f;
  TernaryMatrix matrix(rows, cols, kind, group, scales);
  std::vector<std::int8_t> digits(cols);
  for (std::size_t r = 0; r < rows; ++r) {
    for (auto& d : digits) d = static_cast<std::int8_t>(static_cast<int>(random() % 3) - 1);
    matrix.set_row(r, digits);
  }
  return matrix;
}

}  // namespace tern::quant::testing
