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
// Blocks until the largest field could overflow 32 bits: 4 products of (2 << 6) * -128 each.
constexpr std::size_t kRun = std::size_t{1} << 15;
static_assert(static_cast<long long>(kRun) * 4 * (2 << 6) * -128 >= INT32_MIN);

__m256i field_mask(int f) { return _mm256_set1_epi8(static_cast<char>(3 << (2 * f))); }

// Token by token: 16 registers hold the sums of one, and the tile is near after the first.
template <typename Layout, std::size_t tokens>
void gemv_tile(const Layout&, const std::uint8_t* w_begin, std::size_t blocks_all,
               const std::int8_t* x_begin, std::size_t x_stride, std::int32_t* y) {
  for (std::size_t t = 0; t < tokens; ++t, x_begin += x_stride, y += 16) {
    const std::uint8_t* w = w_begin;
    const std::int8_t* x = x_begin;
    std::size_t blocks = blocks_all;
    __m256i low_total = _mm256_setzero_si256(), high_total = low_total;
    while (blocks > 0) {
      const std::size_t run = blocks < kRun ? blocks : kRun;
      __m256i low_sum[4], high_sum[4];
#pragma GCC unroll 4
      for (int f = 0; f < 4; ++f) low_sum[f] = high_sum[f] = _mm256_setzero_si256();
      for (std::size_t b = 0; b < run; ++b, w += 64, x += 16) {
        _mm_prefetch(reinterpret_cast<const char*>(w + kStreamAhead), _MM_HINT_T1);
        const __m256i low = load256(w), high = load256(w + 32);
#pragma GCC unroll 4
        for (int f = 0; f < 4; ++f) {
          const __m256i xv = broadcast(x + 4 * f);
          low_sum[f] = dot4(low_sum[f], _mm256_and_si256(low, field_mask(f)), xv);
          high_sum[f] = dot4(high_sum[f], _mm256_and_si256(high, field_mask(f)), xv);
        }
      }
#pragma GCC unroll 4
      for (int f = 0; f < 4; ++f) {
        low_total = _mm256_add_epi32(low_total, _mm256_srai_epi32(low_sum[f], 2 * f));
        high_total = _mm256_add_epi32(high_total, _mm256_srai_epi32(high_sum[f], 2 * f));
      }
      blocks -= run;
    }
    store256(y, low_total);
    store256(y + 8, high_total);
  }
}

constexpr std::size_t kGemmTokens = 6;  // 12 sums, 2 weights and an activation in 16 registers.

// Tile by tile: 16 registers hold the sums of one.
template <std::size_t tiles, std::size_t tokens>
void gemm_tile(const std::uint8_t* codes, std::size_t steps, const std::int8_t* x,
               std::size_t x_stride, std::int32_t* y, std::size_t y_stride) {
  for (std::size_t i = 0; i < tiles; ++i, y += 16) {
    __m256i sum[tokens][2];
#pragma GCC unroll 6
    for (std::size_t t = 0; t < tokens; ++t) {
      sum[t][0] = load256(y + t * y_stride);
      sum[t][1] = load256(y + t * y_stride + 8);
    }
    for (std::size_t s = 0; s < steps; ++s) {
      const std::uint8_t* step = codes + (s * tiles + i) * 64;
      const __m256i low = load256(step), high = load256(step + 32);
#pragma GCC unroll 6
      for (std::size_t t = 0; t < tokens; ++t) {
        const __m256i xv = broadcast(x + t * x_stride + 4 * s);
        sum[t][0] = dot4(sum[t][0], low, xv);
        sum[t][1] = dot4(sum[t][1], high, xv);
      }
    }
#pragma GCC unroll 6
    for (std::size_t t = 0; t < tokens; ++t) {
      store256(y + t * y_stride, sum[t][0]);
      store256(y + t * y_stride + 8, sum[t][1]);
    }
  }
}

}  // namespace
}  // namespace tern::kernels

#include "tern/kernels/ternary_lanes.h"

namespace tern::kernels {
namespace {

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
  .ternary_gemv = {ternary_gemv<FourPerByte>, nullptr}, .packed_tokens = kGemvTokens,
  .ternary_groups = ternary_groups, .ternary_unpack = {ternary_unpack, nullptr},
  .codes_gemm = codes_gemm, .absmax = absmax, .quantize = quantize, .field_sums = field_sums,
  .dot_lanes = dot_lanes,
  .expand = {expand_elements<ElementF32>, expand_elements<ElementF16>, expand_elements<ElementBF16>,
             expand_blocks<BlockQ8_0>,    expand_blocks<BlockQ6_K>,    expand_blocks<BlockQ4_0>},
  .dense_gemv = {gemv_elements<ElementF32>, gemv_elements<ElementF16>, gemv_elements<ElementBF16>,
                 gemv_blocks<BlockQ8_0>,    gemv_blocks<BlockQ6_K>,    gemv_blocks<BlockQ4_0>},
  .exp = exp_all, .norm_scale = norm_scale, .silu_mul = silu_mul, .relu2_mul = relu2_mul,
  .add = add_all, .rope = rope, .to_f16 = to_f16,
  .keys_dot = {keys_dot<KvF32>, keys_dot<KvF16>, keys_dot<KvInt8>, keys_dot<KvInt4>},
  .softmax_rows = softmax_rows, .fold_rows = fold_rows,
  .values_sum = {values_sum<KvF32>, values_sum<KvF16>, values_sum<KvInt8>, values_sum<KvInt4>},
  .merge = merge, .divide = divide, .read_xor = read_xor, .int8_steps = int8_steps,
  .int8_macs_per_step = 32 * kChains,
#if defined(TERN_AVXVNNI_ON_AVX512)
  .sliced = &kSlicedAvxVnniOnAvx512,
#else
  .sliced = &kSlicedAvxVnni,
#endif
};

}  // namespace tern::kernels
