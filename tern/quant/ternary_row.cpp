// What can be wrong with a ternary tensor, said with its name and row.
#include "tern/quant/ternary_row.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "tern/base/error.h"
#include "tern/base/vector_clones.h"

namespace tern::quant {
namespace {

TERN_VECTOR_CLONES
std::uint8_t largest(const std::uint8_t* codes, std::size_t n) noexcept {
  std::uint8_t most = 0;
  for (std::size_t c = 0; c < n; ++c) most = std::max(most, codes[c]);
  return most;
}

// Weight 0 is code 1.
TERN_VECTOR_CLONES
std::uint8_t differences_from_zero(const std::uint8_t* codes, std::size_t n) noexcept {
  std::uint8_t any = 0;
  for (std::size_t c = 0; c < n; ++c) any = static_cast<std::uint8_t>(any | (codes[c] ^ 1));
  return any;
}

}  // namespace

TernarySource checked_source(const TensorView& tensor) {
  if (!is_ternary(tensor.type)) {
    throw Error(ErrorCode::kBadArgument, "tensor '" + tensor.name + "' is " +
                                             std::string(dtype_name(tensor.type)) +
                                             ", expected a ternary type");
  }
  const auto bytes = dtype_bytes(tensor.type, tensor.rows(), tensor.cols());
  if (!bytes || *bytes != tensor.bytes.size()) {
    throw Error(ErrorCode::kCorruptFile,
                "tensor '" + tensor.name + "' has " + std::to_string(tensor.bytes.size()) +
                    " bytes, expected " + (bytes ? std::to_string(*bytes) : "another shape") +
                    " for " + std::string(dtype_name(tensor.type)) + " of shape " +
                    shape_text(tensor.shape));
  }
  return {reinterpret_cast<const std::uint8_t*>(tensor.bytes.data()),
          static_cast<std::size_t>(tensor.rows()), static_cast<std::size_t>(tensor.cols())};
}

bool any_weight(std::span<const std::uint8_t> codes) noexcept {
  return differences_from_zero(codes.data(), codes.size()) != 0;
}

void codes_to_digits(std::span<const std::uint8_t> codes, std::span<std::int8_t> digits,
                     const TensorView& tensor, std::size_t row) {
  check_codes(codes, tensor, row);
  for (std::size_t c = 0; c < codes.size(); ++c) {
    digits[c] = static_cast<std::int8_t>(codes[c] - 1);
  }
}

void check_codes(std::span<const std::uint8_t> codes, const TensorView& tensor, std::size_t row) {
  if (largest(codes.data(), codes.size()) < 3) return;
  std::size_t c = 0;
  while (codes[c] != 3) ++c;
  const bool q2 = tensor.type == DType::kQ2_0G64 || tensor.type == DType::kQ2_0G128;
  throw Error(ErrorCode::kCorruptFile, "tensor '" + tensor.name + "' has code 3 " +
                                           (q2 ? "(+2) " : "") + "in row " + std::to_string(row) +
                                           ", column " + std::to_string(c) +
                                           ", expected the ternary codes 0, 1 and 2");
}

float checked_scale(const TernaryCodec& codec, const TernarySource& source,
                    const TensorView& tensor, std::size_t row, std::size_t group) {
  const float scale = codec.read_scale(source, row, group);
  if (!std::isfinite(scale)) {
    throw Error(ErrorCode::kCorruptFile, "tensor '" + tensor.name + "' has scale " +
                                             std::to_string(scale) + " in row " +
                                             std::to_string(row) + ", expected a finite number");
  }
  return scale;
}

}  // namespace tern::quant
