// The reference: what every other kernel must equal, bit for bit. Written to be read.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "tern/kernels/float_math.h"
#include "tern/kernels/kernel_table.h"
#include "tern/kernels/sliced_kernels.h"
#include "tern/tensor/dense_row.h"
#include "tern/tensor/half.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern::kernels {
namespace {

bool supported() noexcept { return true; }

// --- Ternary weights times int8. Unsigned sums, because they are meant modulo 2^32.

int code_at(const std::uint8_t* w, std::size_t column) noexcept {
  const std::size_t in_block = column % kTernaryBlock;
  const std::uint8_t byte =
      w[column / kTernaryBlock * kTernaryBlockBytes + in_block % kTernaryField];
  return (byte >> (2 * (in_block / kTernaryField))) & 3;
}

void ternary_fields(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                    const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept {
  const std::size_t fields = 4 * blocks;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t f = 0; f < fields; ++f) {
      std::int32_t sum = 0;
      for (std::size_t c = f * kTernaryField; c < (f + 1) * kTernaryField; ++c) {
        sum += code_at(w + r * row_bytes, c) * x[c];
      }
      y[r * fields + f] = sum;
    }
  }
}

void ternary_gemv(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                  const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept {
  for (std::size_t r = 0; r < rows; ++r) {
    std::uint32_t sum = 0;
    for (std::size_t c = 0; c < blocks * kTernaryBlock; ++c) {
      sum += static_cast<std::uint32_t>(code_at(w + r * row_bytes, c) * x[c]);
    }
    y[r] = static_cast<std::int32_t>(sum);
  }
}

void ternary_unpack(const std::uint8_t* w, std::size_t blocks, std::uint8_t* codes) noexcept {
  for (std::size_t c = 0; c < blocks * kTernaryBlock; ++c) {
    codes[c] = static_cast<std::uint8_t>(code_at(w, c));
  }
}

void codes_gemm(const std::uint8_t* codes, std::size_t code_stride, std::size_t rows,
                const std::int8_t* x, std::size_t x_stride, std::size_t tokens, std::size_t n,
                std::int32_t* y, std::size_t y_stride) noexcept {
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t sum = 0;
      for (std::size_t c = 0; c < n; ++c) {
        sum += static_cast<std::uint32_t>(codes[r * code_stride + c] * x[t * x_stride + c]);
      }
      y[t * y_stride + r] = static_cast<std::int32_t>(sum);
    }
  }
}

void ternary_expand(const std::uint8_t* w, std::size_t first, std::size_t fields, float scale,
                    float* out) noexcept {
  for (std::size_t i = 0; i < fields * kTernaryField; ++i) {
    out[i] = static_cast<float>(code_at(w, first * kTernaryField + i) - 1) * scale;
  }
}

// --- Activations to int8.

// Maxima are taken as a > b ? a : b in 16 lanes and the tree of the sums.
float larger(float a, float b) noexcept { return a > b ? a : b; }

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

using Lanes = std::array<float, kLanes>;

// a[i] b[i] into lane i mod 16, the last step padded with +0.
void accumulate(Lanes& lanes, const float* a, const float* b, std::size_t n) noexcept {
  const std::size_t padded = (n + kLanes - 1) / kLanes * kLanes;
  for (std::size_t i = 0; i < padded; ++i) {
    float& lane = lanes[i % kLanes];
    lane = i < n ? std::fma(a[i], b[i], lane) : std::fma(0.0f, 0.0f, lane);
  }
}

float tree_sum(Lanes lanes) noexcept {
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t l = 0; l < width; ++l) lanes[l] = lanes[l] + lanes[l + width];
  }
  return lanes[0];
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

float exp_one(float x) noexcept {
  x = x < kExpLow ? kExpLow : x;  // A NaN passes both comparisons.
  x = x > kExpHigh ? kExpHigh : x;
  const float t = std::fma(x, kLog2E, kRoundMagic);
  const std::int32_t n = std::bit_cast<std::int32_t>(t) - kRoundMagicBits;
  const float whole = t - kRoundMagic;
  float r = std::fma(whole, kMinusLn2High, x);
  r = std::fma(whole, kMinusLn2Low, r);
  float q = kExpQ[5];
  for (int i = 4; i >= 0; --i) q = std::fma(q, r, kExpQ[i]);
  const float p = std::fma(r * r, q, r) + 1.0f;
  // Unsigned, because a NaN's n is anything.
  const std::int32_t half = n >> 1;
  const auto low = static_cast<std::uint32_t>(half);
  const auto high = static_cast<std::uint32_t>(n) - low;
  return p * std::bit_cast<float>((low + 127) << 23) * std::bit_cast<float>((high + 127) << 23);
}

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

// --- Attention.

void to_f16(const float* x, std::size_t n, std::uint8_t* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t half = float_to_f16(x[i]);
    std::memcpy(out + 2 * i, &half, 2);
  }
}

void softmax_block(float* p, std::size_t count, float scale, float* stats) noexcept {
  float max = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < count; ++i) {
    p[i] = p[i] * scale;
    max = larger(p[i], max);
  }
  Lanes lanes{};
  const std::size_t padded = (count + kLanes - 1) / kLanes * kLanes;
  for (std::size_t i = 0; i < padded; ++i) {
    if (i < count) p[i] = exp_one(p[i] - max);
    lanes[i % kLanes] += i < count ? p[i] : 0.0f;
  }
  stats[0] = max;
  stats[1] = tree_sum(lanes);
}

template <DType type>
void weighted_sum(const float* p, std::size_t count, const std::uint8_t* v, std::size_t head_dim,
                  float* out) noexcept {
  std::fill_n(out, head_dim, 0.0f);
  const std::size_t row_bytes = *dtype_bytes(type, 1, head_dim);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t d = 0; d < head_dim; ++d) {
      float value;
      expand<type>(v + i * row_bytes + d * row_bytes / head_dim, 1, &value);
      out[d] = std::fma(p[i], value, out[d]);
    }
  }
}

void merge(float* a, float fa, const float* b, float fb, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i) a[i] = a[i] * fa + b[i] * fb;
}

void divide(const float* a, float by, std::size_t n, float* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) out[i] = a[i] / by;
}

// --- Ceilings.

std::uint64_t read_xor(const std::uint8_t* p, std::size_t bytes) noexcept {
  std::uint64_t sum[4] = {};
  for (std::size_t i = 0; i + 32 <= bytes; i += 32) {
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
    .ternary_gemv = ternary_gemv,
    .ternary_fields = ternary_fields,
    .ternary_unpack = ternary_unpack,
    .codes_gemm = codes_gemm,
    .ternary_expand = ternary_expand,
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
    .to_f16 = to_f16,
    .softmax_block = softmax_block,
    .weighted_sum = {weighted_sum<DType::kF32>, weighted_sum<DType::kF16>},
    .merge = merge,
    .divide = divide,
    .read_xor = read_xor,
    .int8_steps = int8_steps,
    .int8_macs_per_step = 4,
    .sliced = &kSlicedScalar,
};

}  // namespace tern::kernels
