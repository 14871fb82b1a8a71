// AVX2 with FMA and F16C. Runs only where kAvx2.supported() says so.
#include "tern/kernels/avx2_lanes.h"
#include "tern/kernels/sliced_kernels.h"

namespace tern::kernels {
namespace {

// Products of codes are summed in pairs in 16-bit lanes, kRun of them before they are widened: each
// adds 2 products * (code <= 2) * x to a lane, x in [-128, 127].
constexpr int kRun = 64;
static_assert(kRun * 2 * 2 * 127 <= INT16_MAX && kRun * 2 * 2 * -128 >= INT16_MIN);
constexpr std::size_t kRunBlocks = kRun / 8;  // A block is eight products of 32 columns.

template <std::size_t rows>
void gemv_rows(const std::uint8_t* w, std::size_t row_bytes, const std::int8_t* x,
               std::size_t blocks, std::int32_t* y) {
  const __m256i mask = _mm256_set1_epi8(3);
  const std::uint8_t* ahead = prefetch_start(w, rows * row_bytes);
  __m256i total[rows];
  for (__m256i& t : total) t = _mm256_setzero_si256();
  while (blocks > 0) {
    const std::size_t run = blocks < kRunBlocks ? blocks : kRunBlocks;
    __m256i sum[rows];
    for (__m256i& s : sum) s = _mm256_setzero_si256();
    for (std::size_t b = 0; b < run; ++b, w += 64, x += 256) {
      ahead = prefetch_next(ahead, rows * 64);
      for (std::size_t half = 0; half < 64; half += 32) {
        __m256i codes[rows];
        for (std::size_t r = 0; r < rows; ++r) codes[r] = load256(w + r * row_bytes + half);
        for (std::size_t f = 0; f < 4; ++f) {
          const __m256i xv = load256(x + 64 * f + half);
          for (std::size_t r = 0; r < rows; ++r) {
            const __m256i field = _mm256_and_si256(codes[r], mask);
            sum[r] = _mm256_add_epi16(sum[r], _mm256_maddubs_epi16(field, xv));
            codes[r] = _mm256_srli_epi16(codes[r], 2);
          }
        }
      }
    }
    for (std::size_t r = 0; r < rows; ++r) total[r] = widen_add(total[r], sum[r]);
    blocks -= run;
  }
  for (std::size_t r = 0; r < rows; ++r) y[r] = reduce(total[r]);
}

void ternary_gemv(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                  const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept {
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4) gemv_rows<4>(w + r * row_bytes, row_bytes, x, blocks, y + r);
  for (; r < rows; ++r) gemv_rows<1>(w + r * row_bytes, row_bytes, x, blocks, y + r);
}

void ternary_fields(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                    const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept {
  const __m256i mask = _mm256_set1_epi8(3);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t b = 0; b < blocks; ++b, y += 4) {
      const std::uint8_t* p = w + r * row_bytes + 64 * b;
      prefetch(p);
      __m256i low = load256(p), high = load256(p + 32);
      __m256i sum[4];
      for (std::size_t f = 0; f < 4; ++f) {
        const std::int8_t* xp = x + 256 * b + 64 * f;
        const __m256i pairs =
            _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_and_si256(low, mask), load256(xp)),
                             _mm256_maddubs_epi16(_mm256_and_si256(high, mask), load256(xp + 32)));
        sum[f] = widen_add(_mm256_setzero_si256(), pairs);
        low = _mm256_srli_epi16(low, 2);
        high = _mm256_srli_epi16(high, 2);
      }
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y), reduce4(sum[0], sum[1], sum[2], sum[3]));
    }
  }
}

template <std::size_t rows, std::size_t tokens>
void gemm_tile(const std::uint8_t* codes, std::size_t code_stride, const std::int8_t* x,
               std::size_t x_stride, std::size_t n, std::int32_t* y, std::size_t y_stride) {
  __m256i total[tokens][rows];
  for (auto& token : total) {
    for (__m256i& t : token) t = _mm256_setzero_si256();
  }
  for (std::size_t begin = 0; begin < n; begin += 32 * kRun) {
    const std::size_t end = n - begin < 32 * kRun ? n : begin + 32 * kRun;
    __m256i sum[tokens][rows];
    for (auto& token : sum) {
      for (__m256i& s : token) s = _mm256_setzero_si256();
    }
    for (std::size_t c = begin; c < end; c += 32) {
      __m256i xv[tokens];
      for (std::size_t t = 0; t < tokens; ++t) xv[t] = load256(x + t * x_stride + c);
      for (std::size_t r = 0; r < rows; ++r) {
        const __m256i wv = load256(codes + r * code_stride + c);
        for (std::size_t t = 0; t < tokens; ++t) {
          sum[t][r] = _mm256_add_epi16(sum[t][r], _mm256_maddubs_epi16(wv, xv[t]));
        }
      }
    }
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t r = 0; r < rows; ++r) total[t][r] = widen_add(total[t][r], sum[t][r]);
    }
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    if constexpr (rows == 4) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y + t * y_stride),
                       reduce4(total[t][0], total[t][1], total[t][2], total[t][3]));
    } else {
      for (std::size_t r = 0; r < rows; ++r) y[t * y_stride + r] = reduce(total[t][r]);
    }
  }
}

template <std::size_t tokens>
void gemm_strip(const std::uint8_t* codes, std::size_t code_stride, std::size_t rows,
                const std::int8_t* x, std::size_t x_stride, std::size_t n, std::int32_t* y,
                std::size_t y_stride) {
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    gemm_tile<4, tokens>(codes + r * code_stride, code_stride, x, x_stride, n, y + r, y_stride);
  }
  for (; r < rows; ++r) {
    gemm_tile<1, tokens>(codes + r * code_stride, code_stride, x, x_stride, n, y + r, y_stride);
  }
}

void codes_gemm(const std::uint8_t* codes, std::size_t code_stride, std::size_t rows,
                const std::int8_t* x, std::size_t x_stride, std::size_t tokens, std::size_t n,
                std::int32_t* y, std::size_t y_stride) noexcept {
  std::size_t t = 0;
  for (; t + 2 <= tokens; t += 2) {
    gemm_strip<2>(codes, code_stride, rows, x + t * x_stride, x_stride, n, y + t * y_stride,
                  y_stride);
  }
  for (; t < tokens; ++t) {
    gemm_strip<1>(codes, code_stride, rows, x + t * x_stride, x_stride, n, y + t * y_stride,
                  y_stride);
  }
}

constexpr std::size_t kChains = 8;

std::int32_t int8_steps(std::size_t steps) noexcept {
  __m256i a = _mm256_set1_epi8(1);
  const __m256i b = _mm256_set1_epi8(1);
  __m256i sum[kChains];
  for (__m256i& s : sum) s = _mm256_setzero_si256();
  for (std::size_t i = 0; i < steps; ++i) {
    for (__m256i& s : sum) {
      asm volatile("" : "+x"(a));  // A new product each time, as far as the compiler knows.
      s = _mm256_add_epi16(s, _mm256_maddubs_epi16(a, b));
    }
  }
  __m256i all = sum[0];
  for (std::size_t i = 1; i < kChains; ++i) all = _mm256_add_epi32(all, sum[i]);
  return reduce(all);
}

}  // namespace

constinit const KernelTable kAvx2{
    .name = "avx2",
    .supported = cpu_has_avx2,
    .ternary_gemv = ternary_gemv,
    .ternary_fields = ternary_fields,
    .ternary_unpack = ternary_unpack,
    .codes_gemm = codes_gemm,
    .ternary_expand = ternary_expand,
    .absmax = absmax,
    .quantize = quantize,
    .field_sums = field_sums,
    .dot_lanes = dot_lanes,
    .expand = {expand_elements<ElementF32>, expand_elements<ElementF16>,
               expand_elements<ElementBF16>, expand_blocks<BlockQ8_0>, expand_blocks<BlockQ6_K>,
               expand_blocks<BlockQ4_0>},
    .dense_gemv = {gemv_elements<ElementF32>, gemv_elements<ElementF16>, gemv_elements<ElementBF16>,
                   gemv_blocks<BlockQ8_0>, gemv_blocks<BlockQ6_K>, gemv_blocks<BlockQ4_0>},
    .exp = exp_all,
    .norm_scale = norm_scale,
    .silu_mul = silu_mul,
    .relu2_mul = relu2_mul,
    .add = add_all,
    .rope = rope,
    .to_f16 = to_f16,
    .softmax_block = softmax_block,
    .weighted_sum = {weighted_sum<ElementF32>, weighted_sum<ElementF16>},
    .merge = merge,
    .divide = divide,
    .read_xor = read_xor,
    .int8_steps = int8_steps,
    .int8_macs_per_step = 32 * kChains,
    .sliced = &kSlicedAvx2,
};

}  // namespace tern::kernels
