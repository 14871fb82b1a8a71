// The reference: what every other kernel must equal, bit for bit. Written to be read.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "tern/kernels/float_math.h"
#include "tern/kernels/kernel_table.h"
#include "tern/kernels/scalar_attention.h"
#include "tern/kernels/scalar_math.h"
#include "tern/kernels/sliced_kernels.h"
#include "tern/tensor/dense_row.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern::kernels {
namespace {

bool supported() noexcept { return true; }

// --- Ternary weights times int8. Unsigned sums, because they are meant modulo 2^32.

// Code of column `column` of a tile's row.
template <TernaryLayout layout>
unsigned code_at(const std::uint8_t* tile, std::size_t row, std::size_t column) noexcept {
  constexpr std::size_t kWidth = ternary_block_cols(layout);
  const std::uint8_t byte = tile[column / kWidth * kTernaryBlockBytes + 4 * row + column % 4];
  return ternary_code(layout, byte, column % kWidth / 4);
}

template <TernaryLayout layout>
void ternary_gemv(const std::uint8_t* w, std::size_t tiles, std::size_t blocks,
                  const std::int8_t* x, std::size_t x_stride, std::size_t tokens,
                  std::int32_t* y) noexcept {
  for (std::size_t i = 0; i < tiles; ++i, w += blocks * kTernaryBlockBytes) {
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t r = 0; r < kTernaryTileRows; ++r) {
        std::uint32_t sum = 0;
        for (std::size_t c = 0; c < blocks * ternary_block_cols(layout); ++c) {
          sum += code_at<layout>(w, r, c) * static_cast<std::uint32_t>(x[t * x_stride + c]);
        }
        *y++ = static_cast<std::int32_t>(sum);
      }
    }
  }
}

void ternary_groups(const std::uint8_t* w, std::size_t blocks, std::size_t group,
                    const std::int8_t* x, std::int32_t* y) noexcept {
  for (std::size_t b = 0; b < blocks; b += group, y += kTernaryTileRows) {
    const std::size_t count = std::min(group, blocks - b);
    ternary_gemv<TernaryLayout::kFourPerByte>(w + b * kTernaryBlockBytes, 1, count, x + 16 * b, 0,
                                              1, y);
  }
}

template <TernaryLayout layout>
void ternary_unpack(const std::uint8_t* w, std::size_t blocks, std::uint8_t* codes,
                    std::size_t step_bytes) noexcept {
  const std::size_t steps = blocks * ternary_fields(layout);
  for (std::size_t s = 0; s < steps; ++s, codes += step_bytes) {
    for (std::size_t i = 0; i < kTernaryBlockBytes; ++i) {
      codes[i] = static_cast<std::uint8_t>(code_at<layout>(w, i / 4, 4 * s + i % 4));
    }
  }
}

void codes_gemm(const std::uint8_t* codes, std::size_t tiles, std::size_t steps,
                const std::int8_t* x, std::size_t x_stride, std::size_t tokens, std::int32_t* y,
                std::size_t y_stride) noexcept {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t r = 0; r < tiles * kTernaryTileRows; ++r) {
      auto sum = static_cast<std::uint32_t>(y[t * y_stride + r]);
      for (std::size_t c = 0; c < 4 * steps; ++c) {
        const std::uint8_t* step =
            codes + (c / 4 * tiles + r / kTernaryTileRows) * kTernaryBlockBytes;
        sum += static_cast<std::uint32_t>(step[r % kTernaryTileRows * 4 + c % 4] *
                                          x[t * x_stride + c]);
      }
      y[t * y_stride + r] = static_cast<std::int32_t>(sum);
    }
  }
}

// --- Activations to int8.

float absmax(const float* x, std::size_t n) noexcept {
  float max = 0;
  for (std::size_t i = 0; i < n; ++i) max = larger(std::fabs(x[i]), max);
  return max;
}

void quantize(const float* x, std::size_t n, float s, std::int8_t* q) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    const float scaled = x[i] * s;
    const auto bits = std::bit_cast<std::int32_t>(scaled + kRoundMagic);
    q[i] = static_cast<std::int8_t>(std::clamp(bits - kRoundMagicBits, -128, 127));
  }
}

void field_sums(const std::int8_t* q, std::size_t fields, std::int32_t* sums) noexcept {
  for (std::size_t f = 0; f < fields; ++f) {
    sums[f] = 0;
    for (std::size_t i = 0; i < kTernaryField; ++i) sums[f] += q[f * kTernaryField + i];
  }
}

// --- Full-precision weights times floats.

// a[i] b[i] into lane i mod 16, the last step padded with +0.
void accumulate(Lanes& lanes, const float* a, const float* b, std::size_t n) noexcept {
  const std::size_t padded = (n + kLanes - 1) / kLanes * kLanes;
  for (std::size_t i = 0; i < padded; ++i) {
    float& lane = lanes[i % kLanes];
    lane = i < n ? std::fma(a[i], b[i], lane) : std::fma(0.0f, 0.0f, lane);
  }
}

void dot_lanes(const float* a, std::size_t a_stride, std::size_t rows, const float* x,
               std::size_t x_stride, std::size_t tokens, std::size_t n, float* lanes) noexcept {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t r = 0; r < rows; ++r) {
      Lanes sum;
      float* out = lanes + (t * rows + r) * kLanes;
      std::copy_n(out, kLanes, sum.begin());
      accumulate(sum, a + r * a_stride, x + t * x_stride, n);
      std::copy_n(sum.begin(), kLanes, out);
    }
  }
}

template <DType type>
void expand(const std::uint8_t* row, std::size_t cols, float* out) noexcept {
  dense_row_to_float(type, reinterpret_cast<const std::byte*>(row), cols, out);
}

// In pieces of whole blocks of every type.
template <DType type>
void dense_gemv(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows, const float* x,
                std::size_t cols, float* y) noexcept {
  constexpr std::size_t kPiece = 256;
  const std::size_t piece_bytes = *dtype_bytes(type, 1, kPiece);
  for (std::size_t r = 0; r < rows; ++r) {
    Lanes lanes{};
    const std::uint8_t* p = w + r * row_bytes;
    for (std::size_t c = 0; c < cols; c += kPiece, p += piece_bytes) {
      float values[kPiece];
      const std::size_t n = std::min(kPiece, cols - c);
      expand<type>(p, n, values);
      accumulate(lanes, values, x + c, n);
    }
    y[r] = tree_sum(lanes);
  }
}

// --- Elementwise.

void exp_all(const float* x, std::size_t n, float* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) out[i] = exp_one(x[i]);
}

void norm_scale(const float* x, const float* weight, float r, std::size_t n, float* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) out[i] = (x[i] * r) * weight[i];
}

void silu_mul(float* gate, const float* up, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    gate[i] = (gate[i] / (1.0f + exp_one(-gate[i]))) * up[i];
  }
}

void relu2_mul(float* gate, const float* up, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    const float positive = larger(gate[i], 0.0f);
    gate[i] = (positive * positive) * up[i];
  }
}

void add(float* a, const float* b, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) a[i] = a[i] + b[i];
}

void rope(float* x, std::size_t heads, std::size_t half, const float* cos,
          const float* sin) noexcept {
  for (std::size_t h = 0; h < heads; ++h) {
    float* low = x + h * 2 * half;
    float* high = low + half;
    for (std::size_t i = 0; i < half; ++i) {
      const float a = low[i], b = high[i];
      low[i] = a * cos[i] - b * sin[i];
      high[i] = b * cos[i] + a * sin[i];
    }
  }
}

// --- Ceilings.

std::uint64_t read_xor(const std::uint8_t* p, std::size_t bytes, std::size_t streams,
                       std::size_t) noexcept {
  std::uint64_t sum[4] = {};
  for (std::size_t i = 0; i + 32 <= bytes * streams; i += 32) {
    std::uint64_t words[4];
    std::memcpy(words, p + i, 32);
    for (int k = 0; k < 4; ++k) sum[k] ^= words[k];
  }
  return sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
}

std::int32_t int8_steps(std::size_t steps) noexcept {
  std::uint32_t sum[4] = {};
  std::int8_t factor = 3;
  for (std::size_t i = 0; i < steps; ++i) {
    asm volatile("" : "+r"(factor));  // Keeps the compiler from knowing the product.
    for (std::uint32_t& s : sum) s += static_cast<std::uint32_t>(factor * factor);
  }
  return static_cast<std::int32_t>(sum[0] + sum[1] + sum[2] + sum[3]);
}

}  // namespace

constinit const KernelTable kScalar{
    .name = "scalar",
    .supported = supported,
    .ternary_gemv = {ternary_gemv<TernaryLayout::kFourPerByte>,
                     ternary_gemv<TernaryLayout::kFivePerByte>},
    .packed_tokens = kGemvTokens,
    .ternary_groups = ternary_groups,
    .ternary_unpack = {ternary_unpack<TernaryLayout::kFourPerByte>,
                       ternary_unpack<TernaryLayout::kFivePerByte>},
    .codes_gemm = codes_gemm,
    .absmax = absmax,
    .quantize = quantize,
    .field_sums = field_sums,
    .dot_lanes = dot_lanes,
    .expand = {expand<DType::kF32>, expand<DType::kF16>, expand<DType::kBF16>, expand<DType::kQ8_0>,
               expand<DType::kQ6_K>, expand<DType::kQ4_0>},
    .dense_gemv = {dense_gemv<DType::kF32>, dense_gemv<DType::kF16>, dense_gemv<DType::kBF16>,
                   dense_gemv<DType::kQ8_0>, dense_gemv<DType::kQ6_K>, dense_gemv<DType::kQ4_0>},
    .exp = exp_all,
    .norm_scale = norm_scale,
    .silu_mul = silu_mul,
    .relu2_mul = relu2_mul,
    .add = add,
    .rope = rope,
    .to_f16 = scalar_attention::to_f16,
    .keys_dot = {scalar_attention::keys_dot<0>, scalar_attention::keys_dot<1>,
                 scalar_attention::keys_dot<2>, scalar_attention::keys_dot<3>},
    .softmax_rows = scalar_attention::softmax_rows,
    .fold_rows = scalar_attention::fold_rows,
    .values_sum = {scalar_attention::values_sum<0>, scalar_attention::values_sum<1>,
                   scalar_attention::values_sum<2>, scalar_attention::values_sum<3>},
    .merge = scalar_attention::merge,
    .divide = scalar_attention::divide,
    .read_xor = read_xor,
    .int8_steps = int8_steps,
    .int8_macs_per_step = 4,
    .sliced = &kSlicedScalar,
};

}  // namespace tern::kernels
