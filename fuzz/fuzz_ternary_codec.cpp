// Any bytes as a tensor of any ternary type: what decodes must encode to the same digits again.
//
// Byte 0 chooses the type, byte 1 the rows, byte 2 the columns; the rest, repeated as often as it
// takes, is the tensor.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tern/base/error.h"
#include "tern/quant/float_codec.h"
#include "tern/quant/ternary_codec.h"

namespace {

using tern::DType;
using tern::TernaryMatrix;

constexpr std::array kTypes{DType::kTQ1_0,     DType::kTQ2_0,  DType::kI2S,
                            DType::kI2SArm,    DType::kI2S1x4, DType::kQ2_0G64,
                            DType::kQ2_0G128,  DType::kIQ1_BN, DType::kIQ2_BN,
                            DType::kIQ2_BN_R4, DType::kU8,     DType::kPTQ1_0};  // U8: HF packed.

tern::ThreadPool& pool() {
  static tern::ThreadPool one(1);
  return one;
}

void expect_same_digits(const TernaryMatrix& a, const TernaryMatrix& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) __builtin_trap();
  for (std::size_t r = 0; r < a.rows(); ++r) {
    for (std::size_t c = 0; c < a.cols(); ++c) {
      if (a.digit(r, c) != b.digit(r, c)) __builtin_trap();
    }
  }
}

std::optional<TernaryMatrix> decode(const tern::TensorView& view) {
  try {
    if (view.type == DType::kU8)
      return tern::quant::read_hf_packed(view, 4 * view.rows(), {1}, pool());
    std::vector<float> row(view.cols());
    tern::quant::tensor_row_to_float(view, view.rows() - 1, row);
    return tern::quant::read_ternary(view, pool());
  } catch (const tern::Error&) {
    return std::nullopt;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  const DType type = kTypes[data[0] % kTypes.size()];
  const std::uint64_t rows = 1 + data[1] % 16;
  const std::uint64_t cols = (1 + data[2] % 16) * tern::dtype_block(type);
  const auto bytes = tern::dtype_bytes(type, rows, cols);
  if (!bytes) return 0;
  std::vector<std::byte> tensor(*bytes);
  for (std::size_t i = 0; i < tensor.size(); ++i) {
    tensor[i] = static_cast<std::byte>(data[3 + i % (size - 3)]);
  }
  const auto matrix = decode({"w", type, {rows, cols}, tensor});
  if (!matrix) return 0;
  for (const DType out : kTypes) {
    if (tern::quant::why_not_writable(*matrix, out)) continue;
    const auto written = tern::quant::write_ternary(*matrix, out);
    const auto again = decode({"w", out, {matrix->rows(), matrix->cols()}, written.bytes});
    if (!again) __builtin_trap();
    expect_same_digits(*matrix, *again);
  }
  const auto packed = tern::quant::write_hf_packed(*matrix);
  const std::uint64_t quarter = (matrix->rows() + 3) / 4;
  expect_same_digits(*matrix,
                     tern::quant::read_hf_packed({"w", DType::kU8, {quarter, cols}, packed},
                                                 matrix->rows(), {1}, pool()));
  return 0;
}
