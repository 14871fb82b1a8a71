// AVX-512 F, BW, DQ, VL and VNNI. Runs only where kAvx512Vnni.supported() says so.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "tern/kernels/float_math.h"
#include "tern/kernels/kernel_table.h"
#include "tern/kernels/sliced_kernels.h"

namespace tern::kernels {
namespace {

constexpr std::size_t kPrefetchBytes = 8192;  // How far ahead weights are asked for.
constexpr std::size_t kTileRows = 4;          // Of dot_lanes: 16 sums in registers.
constexpr std::size_t kTileTokens = 4;

__mmask16 first_lanes(std::size_t n) { return static_cast<__mmask16>((1u << n) - 1); }

// 16 floats. The list of what lanes16.h asks for is in avx2_lanes.h.
struct Lanes16 {
  __m512 v;

  static Lanes16 zero() { return {_mm512_setzero_ps()}; }
  static Lanes16 set1(float x) { return {_mm512_set1_ps(x)}; }
  static Lanes16 load(const void* p) { return {_mm512_loadu_ps(p)}; }
  static Lanes16 load_part(const void* p, std::size_t n) {
    return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store_part(float* p, std::size_t n) const { _mm512_mask_storeu_ps(p, first_lanes(n), v); }

  static Lanes16 from_f16(const void* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  }
  static Lanes16 from_f16_part(const void* p, std::size_t n) {
    return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))};
  }
  static Lanes16 from_bf16(const void* p) {
    return widen(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  static Lanes16 from_bf16_part(const void* p, std::size_t n) {
    return widen(_mm256_maskz_loadu_epi16(first_lanes(n), p));
  }
  static Lanes16 from_i8(const std::int8_t* p) {
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes))};
  }
  void store_f16(void* p) const {
    _mm256_storeu_si256(static_cast<__m256i*>(p),
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

 private:
  static Lanes16 widen(__m256i bf16) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16))};
  }
};

Lanes16 add(Lanes16 a, Lanes16 b) { return {_mm512_add_ps(a.v, b.v)}; }
Lanes16 sub(Lanes16 a, Lanes16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
Lanes16 mul(Lanes16 a, Lanes16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
Lanes16 div(Lanes16 a, Lanes16 b) { return {_mm512_div_ps(a.v, b.v)}; }
Lanes16 fma(Lanes16 a, Lanes16 b, Lanes16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
Lanes16 larger(Lanes16 a, Lanes16 b) { return {_mm512_max_ps(a.v, b.v)}; }
Lanes16 smaller(Lanes16 a, Lanes16 b) { return {_mm512_min_ps(a.v, b.v)}; }
Lanes16 magnitude(Lanes16 a) { return {_mm512_abs_ps(a.v)}; }
Lanes16 negate(Lanes16 a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }

Lanes16 scale_by_power(Lanes16 p, Lanes16 t) {
  const __m512i n = _mm512_sub_epi32(_mm512_castps_si512(t.v), _mm512_set1_epi32(kRoundMagicBits));
  const __m512i low = _mm512_srai_epi32(n, 1);
  const __m512i high = _mm512_sub_epi32(n, low);
  const __m512i bias = _mm512_set1_epi32(127);
  const __m512 a = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(low, bias), 23));
  const __m512 b = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(high, bias), 23));
  return {_mm512_mul_ps(_mm512_mul_ps(p.v, a), b)};
}

float tree_sum(Lanes16 lanes) {
  const __m256 by8 =
      _mm256_add_ps(_mm512_castps512_ps256(lanes.v), _mm512_extractf32x8_ps(lanes.v, 1));
  const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_add_ss(by2, _mm_movehdup_ps(by2)));
}

float tree_max(Lanes16 lanes) {
  const __m256 by8 =
      _mm256_max_ps(_mm512_castps512_ps256(lanes.v), _mm512_extractf32x8_ps(lanes.v, 1));
  const __m128 by4 = _mm_max_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
  const __m128 by2 = _mm_max_ps(by4, _mm_movehl_ps(by4, by4));
  return _mm_cvtss_f32(_mm_max_ss(by2, _mm_movehdup_ps(by2)));
}

float f16_one(const std::uint8_t* p) {
  return _cvtsh_ss(static_cast<unsigned short>(p[0] | (p[1] << 8)));
}

void q4_codes(const std::uint8_t* p, std::int8_t* codes) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i nibble = _mm_set1_epi8(15);
  const __m256i both = _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(bytes, 4), nibble),
                                        _mm_and_si128(bytes, nibble));
  _mm256_store_si256(reinterpret_cast<__m256i*>(codes), _mm256_sub_epi8(both, _mm256_set1_epi8(8)));
}

// Half a block at a time: 64 bytes of low bits are the nibbles of 128 weights, 32 bytes of high
// bits serve the same 128 two bits at a time (dense_row.h).
void q6k_codes(const std::uint8_t* p, std::int8_t* codes) {
  const __m512i nibble = _mm512_set1_epi8(15), bits45 = _mm512_set1_epi8(0x30);
  const __m512i offset = _mm512_set1_epi8(32);
  for (int h = 0; h < 2; ++h) {
    const __m512i low = _mm512_loadu_si512(p + 64 * h);
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 128 + 32 * h));
    const __m512i pair01 = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_slli_epi16(high, 4)),
                                              _mm256_slli_epi16(high, 2), 1);
    const __m512i pair23 =
        _mm512_inserti64x4(_mm512_castsi256_si512(high), _mm256_srli_epi16(high, 2), 1);
    const __m512i k01 =
        _mm512_or_si512(_mm512_and_si512(low, nibble), _mm512_and_si512(pair01, bits45));
    const __m512i k23 = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble),
                                        _mm512_and_si512(pair23, bits45));
    _mm512_store_si512(codes + 128 * h, _mm512_sub_epi8(k01, offset));
    _mm512_store_si512(codes + 128 * h + 64, _mm512_sub_epi8(k23, offset));
  }
}

}  // namespace
}  // namespace tern::kernels

#include "tern/kernels/lanes16.h"

namespace tern::kernels {
namespace {

__m512i load(const void* p) { return _mm512_loadu_si512(p); }

// The sums of the lanes of four vectors.
__m128i reduce4(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  const __m512i all =
      _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  const __m256i half =
      _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// Codes are masked where they stand, without shifts: field f is 4^f times too large, and one
// arithmetic shift of its sum puts that right, exactly, because every term is a multiple of 4^f.
// Blocks until the largest field could overflow 32 bits: 4 products of (2 << 6) * -128 each.
constexpr std::size_t kRun = std::size_t{1} << 15;
static_assert(static_cast<long long>(kRun) * 4 * (2 << 6) * -128 >= INT32_MIN);

__m512i field_mask(int f) { return _mm512_set1_epi8(static_cast<char>(3 << (2 * f))); }

template <std::size_t rows>
void gemv_rows(const std::uint8_t* w, std::size_t row_bytes, const std::int8_t* x,
               std::size_t blocks, std::int32_t* y) {
  const __m512i mask[4] = {field_mask(0), field_mask(1), field_mask(2), field_mask(3)};
  const std::uint8_t* ahead = prefetch_start(w, rows * row_bytes);
  __m512i total[rows];
  for (__m512i& t : total) t = _mm512_setzero_si512();
  while (blocks > 0) {
    const std::size_t run = blocks < kRun ? blocks : kRun;
    __m512i sum[rows][4];
    for (auto& row : sum) {
      for (__m512i& s : row) s = _mm512_setzero_si512();
    }
    for (std::size_t b = 0; b < run; ++b, w += 64, x += 256) {
      ahead = prefetch_next(ahead, rows * 64);
      const __m512i xv[4] = {load(x), load(x + 64), load(x + 128), load(x + 192)};
      for (std::size_t r = 0; r < rows; ++r) {
        const __m512i codes = load(w + r * row_bytes);
        for (int f = 0; f < 4; ++f) {
          sum[r][f] = _mm512_dpbusd_epi32(sum[r][f], _mm512_and_si512(codes, mask[f]), xv[f]);
        }
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const __m512i low = _mm512_add_epi32(sum[r][0], _mm512_srai_epi32(sum[r][1], 2));
      const __m512i high =
          _mm512_add_epi32(_mm512_srai_epi32(sum[r][2], 4), _mm512_srai_epi32(sum[r][3], 6));
      total[r] = _mm512_add_epi32(total[r], _mm512_add_epi32(low, high));
    }
    blocks -= run;
  }
  if constexpr (rows == 4) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y),
                     reduce4(total[0], total[1], total[2], total[3]));
  } else {
    for (std::size_t r = 0; r < rows; ++r) y[r] = _mm512_reduce_add_epi32(total[r]);
  }
}

void ternary_gemv(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                  const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept {
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4) gemv_rows<4>(w + r * row_bytes, row_bytes, x, blocks, y + r);
  for (; r < rows; ++r) gemv_rows<1>(w + r * row_bytes, row_bytes, x, blocks, y + r);
}

void ternary_fields(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                    const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept {
  const __m512i zero = _mm512_setzero_si512();
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t b = 0; b < blocks; ++b, y += 4) {
      const std::uint8_t* p = w + r * row_bytes + 64 * b;
      _mm_prefetch(reinterpret_cast<const char*>(p + kPrefetchBytes), _MM_HINT_T0);
      const __m512i codes = load(p);
      __m512i sum[4];
      for (int f = 0; f < 4; ++f) {
        const __m512i field = _mm512_and_si512(codes, field_mask(f));
        sum[f] =
            _mm512_dpbusd_epi32(zero, field, load(x + 256 * b + 64 * static_cast<unsigned>(f)));
      }
      const __m128i sums = reduce4(sum[0], sum[1], sum[2], sum[3]);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y),
                       _mm_srav_epi32(sums, _mm_setr_epi32(0, 2, 4, 6)));
    }
  }
}

void ternary_unpack(const std::uint8_t* w, std::size_t blocks, std::uint8_t* codes) noexcept {
  const __m512i mask = field_mask(0);
  for (std::size_t b = 0; b < blocks; ++b, w += 64, codes += 256) {
    const __m512i packed = load(w);
    _mm512_storeu_si512(codes, _mm512_and_si512(packed, mask));
    _mm512_storeu_si512(codes + 64, _mm512_and_si512(_mm512_srli_epi16(packed, 2), mask));
    _mm512_storeu_si512(codes + 128, _mm512_and_si512(_mm512_srli_epi16(packed, 4), mask));
    _mm512_storeu_si512(codes + 192, _mm512_and_si512(_mm512_srli_epi16(packed, 6), mask));
  }
}

template <std::size_t rows, std::size_t tokens>
void gemm_tile(const std::uint8_t* codes, std::size_t code_stride, const std::int8_t* x,
               std::size_t x_stride, std::size_t n, std::int32_t* y, std::size_t y_stride) {
  __m512i sum[tokens][rows];
  for (auto& token : sum) {
    for (__m512i& s : token) s = _mm512_setzero_si512();
  }
  for (std::size_t c = 0; c < n; c += 64) {
    __m512i wv[rows];
    for (std::size_t r = 0; r < rows; ++r) wv[r] = load(codes + r * code_stride + c);
    for (std::size_t t = 0; t < tokens; ++t) {
      const __m512i xv = load(x + t * x_stride + c);
      for (std::size_t r = 0; r < rows; ++r) {
        sum[t][r] = _mm512_dpbusd_epi32(sum[t][r], wv[r], xv);
      }
    }
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    if constexpr (rows == 4) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y + t * y_stride),
                       reduce4(sum[t][0], sum[t][1], sum[t][2], sum[t][3]));
    } else {
      for (std::size_t r = 0; r < rows; ++r) {
        y[t * y_stride + r] = _mm512_reduce_add_epi32(sum[t][r]);
      }
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
  for (; t + 5 <= tokens; t += 5) {
    gemm_strip<5>(codes, code_stride, rows, x + t * x_stride, x_stride, n, y + t * y_stride,
                  y_stride);
  }
  for (; t + 2 <= tokens; t += 2) {
    gemm_strip<2>(codes, code_stride, rows, x + t * x_stride, x_stride, n, y + t * y_stride,
                  y_stride);
  }
  for (; t < tokens; ++t) {
    gemm_strip<1>(codes, code_stride, rows, x + t * x_stride, x_stride, n, y + t * y_stride,
                  y_stride);
  }
}

void ternary_expand(const std::uint8_t* w, std::size_t first, std::size_t fields, float scale,
                    float* out) noexcept {
  const __m512 scales = _mm512_set1_ps(scale);
  for (std::size_t f = first; f < first + fields; ++f) {
    const auto shift = _mm_cvtsi32_si128(static_cast<int>(2 * (f % 4)));
    for (std::size_t j = 0; j < 64; j += 16, out += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w + f / 4 * 64 + j));
      const __m512i codes = _mm512_and_si512(_mm512_srl_epi32(_mm512_cvtepu8_epi32(bytes), shift),
                                             _mm512_set1_epi32(3));
      const __m512i digits = _mm512_sub_epi32(codes, _mm512_set1_epi32(1));
      _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_cvtepi32_ps(digits), scales));
    }
  }
}

void quantize(const float* x, std::size_t n, float s, std::int8_t* q) noexcept {
  const __m512 scale = _mm512_set1_ps(s), magic = _mm512_set1_ps(kRoundMagic);
  const __m512i magic_bits = _mm512_set1_epi32(kRoundMagicBits);
  for (std::size_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = n - i < 16 ? first_lanes(n - i) : first_lanes(16);
    const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + i), scale);
    const __m512i rounded =
        _mm512_sub_epi32(_mm512_castps_si512(_mm512_add_ps(scaled, magic)), magic_bits);
    _mm_mask_storeu_epi8(q + i, lanes, _mm512_cvtsepi32_epi8(rounded));  // Saturates.
  }
}

void field_sums(const std::int8_t* q, std::size_t fields, std::int32_t* sums) noexcept {
  const __m512i ones = _mm512_set1_epi8(1);
  for (std::size_t f = 0; f < fields; ++f) {
    sums[f] = _mm512_reduce_add_epi32(
        _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, load(q + 64 * f)));
  }
}

std::uint64_t read_xor(const std::uint8_t* p, std::size_t bytes) noexcept {
  __m512i sum[4];
  for (__m512i& s : sum) s = _mm512_setzero_si512();
  for (std::size_t i = 0; i + 256 <= bytes; i += 256) {
    for (std::size_t j = 0; j < 4; ++j) {
      _mm_prefetch(reinterpret_cast<const char*>(p + i + 64 * j + kPrefetchBytes), _MM_HINT_T0);
      sum[j] = _mm512_xor_si512(sum[j], load(p + i + 64 * j));
    }
  }
  const __m512i all =
      _mm512_xor_si512(_mm512_xor_si512(sum[0], sum[1]), _mm512_xor_si512(sum[2], sum[3]));
  return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(all));
}

constexpr std::size_t kChains = 12;

std::int32_t int8_steps(std::size_t steps) noexcept {
  __m512i a = _mm512_set1_epi8(1);
  const __m512i b = _mm512_set1_epi8(1);
  __m512i sum[kChains];
  for (__m512i& s : sum) s = _mm512_setzero_si512();
  for (std::size_t i = 0; i < steps; ++i) {
    asm volatile("" : "+v"(a));  // Keeps the compiler from knowing the product.
    for (__m512i& s : sum) s = _mm512_dpbusd_epi32(s, a, b);
  }
  __m512i all = sum[0];
  for (std::size_t i = 1; i < kChains; ++i) all = _mm512_add_epi32(all, sum[i]);
  return _mm512_reduce_add_epi32(all);
}

}  // namespace

constinit const KernelTable kAvx512Vnni{
    .name = "avx512vnni",
    .supported = cpu_has_avx512vnni,
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
    .int8_macs_per_step = 64 * kChains,
    .sliced = &kSlicedAvx512Vnni,
};

}  // namespace tern::kernels
