// AVX2 with FMA and F16C. Runs only where kAvx2.supported() says so.
#include "tern/kernels/avx2_lanes.h"
#include "tern/kernels/sliced_kernels.h"

namespace tern::kernels {
namespace {

// Products of codes are summed in pairs in 16-bit lanes, kRun of them before they are widened: each
// adds 2 products * (code <= 2) * x to a lane, x in [-128, 127].
constexpr int kRun = 64;
static_assert(kRun * 2 * 2 * 127 <= INT16_MAX && kRun * 2 * 2 * -128 >= INT16_MIN);
constexpr std::size_t kRunBlocks = kRun / 4;  // Four products of each half of a block.

template <typename Layout, std::size_t tokens>
void gemv_tile(const Layout&, const std::uint8_t* w, std::size_t blocks, const std::int8_t* x,
               std::size_t x_stride, std::int32_t* y) {
  const __m256i mask = _mm256_set1_epi8(3);
  __m256i total[tokens][2];
#pragma GCC unroll 4
  for (std::size_t t = 0; t < tokens; ++t) total[t][0] = total[t][1] = _mm256_setzero_si256();
  while (blocks > 0) {
    const std::size_t run = blocks < kRunBlocks ? blocks : kRunBlocks;
    __m256i sum[tokens][2];
#pragma GCC unroll 4
    for (std::size_t t = 0; t < tokens; ++t) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
    for (std::size_t b = 0; b < run; ++b, w += 64, x += 16) {
      _mm_prefetch(reinterpret_cast<const char*>(w + kStreamAhead), _MM_HINT_T1);
      const __m256i low = load256(w), high = load256(w + 32);
#pragma GCC unroll 4
      for (int f = 0; f < 4; ++f) {
        const __m256i low_codes = _mm256_and_si256(_mm256_srli_epi16(low, 2 * f), mask);
        const __m256i high_codes = _mm256_and_si256(_mm256_srli_epi16(high, 2 * f), mask);
#pragma GCC unroll 4
        for (std::size_t t = 0; t < tokens; ++t) {
          const __m256i xv = broadcast(x + t * x_stride + 4 * f);
          sum[t][0] = _mm256_add_epi16(sum[t][0], _mm256_maddubs_epi16(low_codes, xv));
          sum[t][1] = _mm256_add_epi16(sum[t][1], _mm256_maddubs_epi16(high_codes, xv));
        }
      }
    }
#pragma GCC unroll 4
    for (std::size_t t = 0; t < tokens; ++t) {
      total[t][0] = widen_add(total[t][0], sum[t][0]);
      total[t][1] = widen_add(total[t][1], sum[t][1]);
    }
    blocks -= run;
  }
#pragma GCC unroll 4
  for (std::size_t t = 0; t < tokens; ++t, y += 16) {
    store256(y, total[t][0]);
    store256(y + 8, total[t][1]);
  }
}

constexpr std::size_t kGemmTokens = 4;  // 8 sums, 2 weights and an activation in 16 registers.

// Tile by tile: 16 registers hold the sums of one.
template <std::size_t tiles, std::size_t tokens>
void gemm_tile(const std::uint8_t* codes, std::size_t steps, const std::int8_t* x,
               std::size_t x_stride, std::int32_t* y, std::size_t y_stride) {
  for (std::size_t i = 0; i < tiles; ++i, y += 16) {
    for (std::size_t begin = 0; begin < steps; begin += kRun) {
      const std::size_t end = steps - begin < kRun ? steps : begin + kRun;
      __m256i sum[tokens][2];
#pragma GCC unroll 6
      for (std::size_t t = 0; t < tokens; ++t) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
      for (std::size_t s = begin; s < end; ++s) {
        const std::uint8_t* step = codes + (s * tiles + i) * 64;
        const __m256i low = load256(step), high = load256(step + 32);
#pragma GCC unroll 6
        for (std::size_t t = 0; t < tokens; ++t) {
          const __m256i xv = broadcast(x + t * x_stride + 4 * s);
          sum[t][0] = _mm256_add_epi16(sum[t][0], _mm256_maddubs_epi16(low, xv));
          sum[t][1] = _mm256_add_epi16(sum[t][1], _mm256_maddubs_epi16(high, xv));
        }
      }
#pragma GCC unroll 6
      for (std::size_t t = 0; t < tokens; ++t) {
        std::int32_t* out = y + t * y_stride;
        store256(out, widen_add(load256(out), sum[t][0]));
        store256(out + 8, widen_add(load256(out + 8), sum[t][1]));
      }
    }
  }
}

}  // namespace
}  // namespace tern::kernels

#include "tern/kernels/ternary_lanes.h"

namespace tern::kernels {
namespace {

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
    .ternary_gemv = {ternary_gemv<FourPerByte>, nullptr},
    .packed_tokens = kGemvTokens,
    .ternary_groups = ternary_groups,
    .ternary_unpack = {ternary_unpack, nullptr},
    .codes_gemm = codes_gemm,
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
    .keys_dot = {keys_dot<KvF32>, keys_dot<KvF16>, keys_dot<KvInt8>, keys_dot<KvInt4>},
    .softmax_rows = softmax_rows,
    .fold_rows = fold_rows,
    .values_sum = {values_sum<KvF32>, values_sum<KvF16>, values_sum<KvInt8>, values_sum<KvInt4>},
    .merge = merge,
    .divide = divide,
    .read_xor = read_xor,
    .int8_steps = int8_steps,
    .int8_macs_per_step = 32 * kChains,
    .sliced = &kSlicedAvx2,
};

}  // namespace tern::kernels
