// AVX2 with the 256-bit vpdpbusd of AVX-VNNI. Runs only where kAvxVnni.supported() says so.
#include "tern/kernels/avx2_lanes.h"
#include "tern/kernels/sliced_kernels.h"

namespace tern::kernels {
namespace {

#if defined(TERN_AVXVNNI_ON_AVX512)
// The tests' second build of this file: the same sums through the EVEX form of the instruction, so
// that this logic is tried on machines without AVX-VNNI.
#define TERN_DPBUSD _mm256_dpbusd_epi32
#else
#define TERN_DPBUSD _mm256_dpbusd_avx_epi32
#endif

__m256i dot4(__m256i sum, __m256i codes, __m256i x) { return TERN_DPBUSD(sum, codes, x); }

// Codes are masked where they stand, without shifts: field f is 4^f times too large, and one
// arithmetic shift of its sum puts that right, exactly, because every term is a multiple of 4^f.
// Blocks until the largest field could overflow 32 bits: two steps a block, of 4 products of
// (2 << 6) * -128 each.
constexpr std::size_t kRun = std::size_t{1} << 14;
static_assert(static_cast<long long>(kRun) * 2 * 4 * (2 << 6) * -128 >= INT32_MIN);

__m256i field_mask(int f) { return _mm256_set1_epi8(static_cast<char>(3 << (2 * f))); }

template <std::size_t rows>
void gemv_rows(const std::uint8_t* w, std::size_t row_bytes, const std::int8_t* x,
               std::size_t blocks, std::int32_t* y) {
  const __m256i mask[4] = {field_mask(0), field_mask(1), field_mask(2), field_mask(3)};
  const std::uint8_t* ahead = prefetch_start(w, rows * row_bytes);
  __m256i total[rows];
  for (__m256i& t : total) t = _mm256_setzero_si256();
  while (blocks > 0) {
    const std::size_t run = blocks < kRun ? blocks : kRun;
    __m256i sum[rows][4];
    for (auto& row : sum) {
      for (__m256i& s : row) s = _mm256_setzero_si256();
    }
    for (std::size_t b = 0; b < run; ++b, w += 64, x += 256) {
      ahead = prefetch_next(ahead, rows * 64);
      for (std::size_t half = 0; half < 64; half += 32) {
        for (std::size_t r = 0; r < rows; ++r) {
          const __m256i codes = load256(w + r * row_bytes + half);
          for (std::size_t f = 0; f < 4; ++f) {
            sum[r][f] =
                dot4(sum[r][f], _mm256_and_si256(codes, mask[f]), load256(x + 64 * f + half));
          }
        }
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const __m256i low = _mm256_add_epi32(sum[r][0], _mm256_srai_epi32(sum[r][1], 2));
      const __m256i high =
          _mm256_add_epi32(_mm256_srai_epi32(sum[r][2], 4), _mm256_srai_epi32(sum[r][3], 6));
      total[r] = _mm256_add_epi32(total[r], _mm256_add_epi32(low, high));
    }
    blocks -= run;
  }
  for (std::size_t r = 0; r < rows; ++r) y[r] = reduce(total[r]);
}

void ternary_gemv(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                  const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept {
  std::size_t r = 0;
  for (; r + 2 <= rows; r += 2) gemv_rows<2>(w + r * row_bytes, row_bytes, x, blocks, y + r);
  for (; r < rows; ++r) gemv_rows<1>(w + r * row_bytes, row_bytes, x, blocks, y + r);
}

void ternary_fields(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                    const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept {
  const __m256i zero = _mm256_setzero_si256();
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t b = 0; b < blocks; ++b, y += 4) {
      const std::uint8_t* p = w + r * row_bytes + 64 * b;
      prefetch(p);
      const __m256i low = load256(p), high = load256(p + 32);
      __m256i sum[4];
      for (int f = 0; f < 4; ++f) {
        const std::int8_t* xp = x + 256 * b + 64 * static_cast<unsigned>(f);
        const __m256i mask = field_mask(f);
        sum[f] = dot4(dot4(zero, _mm256_and_si256(low, mask), load256(xp)),
                      _mm256_and_si256(high, mask), load256(xp + 32));
      }
      const __m128i sums = reduce4(sum[0], sum[1], sum[2], sum[3]);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y),
                       _mm_srav_epi32(sums, _mm_setr_epi32(0, 2, 4, 6)));
    }
  }
}

template <std::size_t rows, std::size_t tokens>
void gemm_tile(const std::uint8_t* codes, std::size_t code_stride, const std::int8_t* x,
               std::size_t x_stride, std::size_t n, std::int32_t* y, std::size_t y_stride) {
  __m256i sum[tokens][rows];
  for (auto& token : sum) {
    for (__m256i& s : token) s = _mm256_setzero_si256();
  }
  for (std::size_t c = 0; c < n; c += 32) {
    __m256i xv[tokens];
    for (std::size_t t = 0; t < tokens; ++t) xv[t] = load256(x + t * x_stride + c);
    for (std::size_t r = 0; r < rows; ++r) {
      const __m256i wv = load256(codes + r * code_stride + c);
      for (std::size_t t = 0; t < tokens; ++t) sum[t][r] = dot4(sum[t][r], wv, xv[t]);
    }
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    if constexpr (rows == 4) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y + t * y_stride),
                       reduce4(sum[t][0], sum[t][1], sum[t][2], sum[t][3]));
    } else {
      for (std::size_t r = 0; r < rows; ++r) y[t * y_stride + r] = reduce(sum[t][r]);
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
  for (; t + 3 <= tokens; t += 3) {
    gemm_strip<3>(codes, code_stride, rows, x + t * x_stride, x_stride, n, y + t * y_stride,
                  y_stride);
  }
  for (; t < tokens; ++t) {
    gemm_strip<1>(codes, code_stride, rows, x + t * x_stride, x_stride, n, y + t * y_stride,
                  y_stride);
  }
}

constexpr std::size_t kChains = 12;

std::int32_t int8_steps(std::size_t steps) noexcept {
  __m256i a = _mm256_set1_epi8(1);
  const __m256i b = _mm256_set1_epi8(1);
  __m256i sum[kChains];
  for (__m256i& s : sum) s = _mm256_setzero_si256();
  for (std::size_t i = 0; i < steps; ++i) {
    asm volatile("" : "+x"(a));  // Keeps the compiler from knowing the product.
    for (__m256i& s : sum) s = dot4(s, a, b);
  }
  __m256i all = sum[0];
  for (std::size_t i = 1; i < kChains; ++i) all = _mm256_add_epi32(all, sum[i]);
  return reduce(all);
}

}  // namespace

#if defined(TERN_AVXVNNI_ON_AVX512)
extern const KernelTable kAvxVnniOnAvx512;
extern const SlicedKernels kSlicedAvxVnniOnAvx512;
constinit const KernelTable kAvxVnniOnAvx512 {
  .name = "avxvnni_on_avx512", .supported = cpu_has_avx512vnni,
#else
constinit const KernelTable kAvxVnni{
    .name = "avxvnni",
    .supported = cpu_has_avxvnni,
#endif
  .ternary_gemv = ternary_gemv, .ternary_fields = ternary_fields, .ternary_unpack = ternary_unpack,
  .codes_gemm = codes_gemm, .ternary_expand = ternary_expand, .absmax = absmax,
  .quantize = quantize, .field_sums = field_sums, .dot_lanes = dot_lanes,
  .expand = {expand_elements<ElementF32>, expand_elements<ElementF16>, expand_elements<ElementBF16>,
             expand_blocks<BlockQ8_0>,    expand_blocks<BlockQ6_K>,    expand_blocks<BlockQ4_0>},
  .dense_gemv = {gemv_elements<ElementF32>, gemv_elements<ElementF16>, gemv_elements<ElementBF16>,
                 gemv_blocks<BlockQ8_0>,    gemv_blocks<BlockQ6_K>,    gemv_blocks<BlockQ4_0>},
  .exp = exp_all, .norm_scale = norm_scale, .silu_mul = silu_mul, .relu2_mul = relu2_mul,
  .add = add_all, .rope = rope, .to_f16 = to_f16, .softmax_block = softmax_block,
  .weighted_sum = {weighted_sum<ElementF32>, weighted_sum<ElementF16>}, .merge = merge,
  .divide = divide, .read_xor = read_xor, .int8_steps = int8_steps,
  .int8_macs_per_step = 32 * kChains,
#if defined(TERN_AVXVNNI_ON_AVX512)
  .sliced = &kSlicedAvxVnniOnAvx512,
#else
  .sliced = &kSlicedAvxVnni,
#endif
};

}  // namespace tern::kernels
