// Decoders written to be read.
#include "tern/tensor/dense_row.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "tern/tensor/half.h"

namespace tern {
namespace {

template <typename T>
T load(const std::byte* p) noexcept {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

unsigned byte_at(const std::byte* p, std::size_t i) noexcept {
  return std::to_integer<unsigned>(p[i]);
}

void q8_0(const std::byte* p, float* out) noexcept {
  const float d = f16_to_float(load<std::uint16_t>(p));
  for (std::size_t i = 0; i < 32; ++i)
    out[i] = d * static_cast<float>(load<std::int8_t>(p + 2 + i));
}

void q4_0(const std::byte* p, float* out) noexcept {
  const float d = f16_to_float(load<std::uint16_t>(p));
  for (std::size_t j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(static_cast<int>(byte_at(p, 2 + j) & 15) - 8);
    out[j + 16] = d * static_cast<float>(static_cast<int>(byte_at(p, 2 + j) >> 4) - 8);
  }
}

void q6_k(const std::byte* p, float* out) noexcept {
  const float d = f16_to_float(load<std::uint16_t>(p + 208));
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t k = 0; k < 4; ++k) {
      for (std::size_t l = 0; l < 32; ++l) {
        const unsigned low = (byte_at(p, 64 * h + 32 * (k & 1) + l) >> (4 * (k >> 1))) & 15;
        const unsigned high = (byte_at(p, 128 + 32 * h + l) >> (2 * k)) & 3;
        const auto sc = load<std::int8_t>(p + 192 + 8 * h + 2 * k + l / 16);
        const int q = static_cast<int>(low | (high << 4)) - 32;
        out[128 * h + 32 * k + l] = (d * static_cast<float>(sc)) * static_cast<float>(q);
      }
    }
  }
}

// Whether none of the numbers of type T, `step` bytes apart, has an exponent of all ones.
template <typename T>
bool all_finite(const std::byte* p, std::size_t count, std::size_t step, T exponent) noexcept {
  bool finite = true;  // No early way out: the loop is one that compilers make wide.
  for (std::size_t i = 0; i < count; ++i) {
    finite &= (load<T>(p + i * step) & exponent) != exponent;
  }
  return finite;
}

constexpr std::uint32_t kF32Exponent = 0x7f800000;
constexpr std::uint16_t kF16Exponent = 0x7c00;
constexpr std::uint16_t kBF16Exponent = 0x7f80;

}  // namespace

bool is_dense(DType type) noexcept {
  switch (type) {
    case DType::kF64:
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kQ8_0:
    case DType::kQ6_K:
    case DType::kQ4_0:
      return true;
    default:
      return false;
  }
}

void dense_row_to_float(DType type, const std::byte* row, std::size_t cols, float* out) noexcept {
  switch (type) {
    case DType::kF64:
      for (std::size_t c = 0; c < cols; ++c) out[c] = static_cast<float>(load<double>(row + 8 * c));
      break;
    case DType::kF32:
      std::memcpy(out, row, cols * sizeof(float));
      break;
    case DType::kF16:
      for (std::size_t c = 0; c < cols; ++c)
        out[c] = f16_to_float(load<std::uint16_t>(row + 2 * c));
      break;
    case DType::kBF16:
      for (std::size_t c = 0; c < cols; ++c) {
        out[c] = bf16_to_float(load<std::uint16_t>(row + 2 * c));
      }
      break;
    case DType::kQ8_0:
      for (std::size_t b = 0; b < cols / 32; ++b) q8_0(row + 34 * b, out + 32 * b);
      break;
    case DType::kQ4_0:
      for (std::size_t b = 0; b < cols / 32; ++b) q4_0(row + 18 * b, out + 32 * b);
      break;
    case DType::kQ6_K:
      for (std::size_t b = 0; b < cols / 256; ++b) q6_k(row + 210 * b, out + 256 * b);
      break;
    default:
      break;
  }
}

bool dense_row_finite(DType type, const std::byte* row, std::size_t cols) noexcept {
  switch (type) {
    case DType::kF64: {
      bool finite = true;  // As floats: a number beyond them becomes infinite.
      for (std::size_t c = 0; c < cols; ++c) {
        const auto value =
            std::bit_cast<std::uint32_t>(static_cast<float>(load<double>(row + 8 * c)));
        finite &= (value & kF32Exponent) != kF32Exponent;
      }
      return finite;
    }
    case DType::kF32:
      return all_finite(row, cols, 4, kF32Exponent);
    case DType::kF16:
      return all_finite(row, cols, 2, kF16Exponent);
    case DType::kBF16:
      return all_finite(row, cols, 2, kBF16Exponent);
    // The scales: times the largest weight in them they stay far below the largest float.
    case DType::kQ8_0:
      return all_finite(row, cols / 32, 34, kF16Exponent);
    case DType::kQ4_0:
      return all_finite(row, cols / 32, 18, kF16Exponent);
    case DType::kQ6_K:
      return all_finite(row + 208, cols / 256, 210, kF16Exponent);
    default:
      return true;
  }
}

}  // namespace tern
