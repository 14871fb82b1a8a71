// AVX-512 F, BW, DQ, VL and VNNI; with TERN_AVX512_VBMI (avx512vbmi.cpp) also VBMI, which decodes
// five digits per byte. Runs only where the table's supported() says so.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "tern/kernels/float_math.h"
#include "tern/kernels/kernel_table.h"
#include "tern/kernels/sliced_kernels.h"

namespace tern::kernels {
namespace {

constexpr std::size_t kPrefetchBytes = 8192;  // How far ahead dense weights are asked for.
constexpr std::size_t kTileRows = 4;          // Of dot_lanes: 16 sums in registers.
constexpr std::size_t kTileTokens = 4;
constexpr std::size_t kAttendPieces = 4;  // Of 16, for kAttendRows rows: 24 sums in registers.

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
  static Lanes16 from_low4(const std::uint8_t* p) { return nibbles(widen_bytes(p)); }
  static Lanes16 from_high4(const std::uint8_t* p) {
    return nibbles(_mm512_srli_epi32(widen_bytes(p), 4));
  }
  // The barrier keeps g++ from folding the load into each multiplication, a load per product.
  static Lanes16 broadcast(const float* p) {
    __m512 v = _mm512_set1_ps(*p);
    asm("" : "+v"(v));
    return {v};
  }
  void store_f16(void* p) const {
    _mm256_storeu_si256(static_cast<__m256i*>(p),
                        _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

 private:
  static __m512i widen_bytes(const std::uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  // The low four bits of each lane, less 8: the permutation looks at no others.
  static Lanes16 nibbles(__m512i codes) {
    const __m512 numbers = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    return {_mm512_permutexvar_ps(codes, numbers)};
  }
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

#include "tern/kernels/attention_lanes.h"
#include "tern/kernels/lanes16.h"

namespace tern::kernels {
namespace {

__m512i load(const void* p) { return _mm512_loadu_si512(p); }

// sum += codes (unsigned) times the four activations at x, in every lane. In assembler because g++
// 12 broadcasts with an instruction of its own, which takes an arithmetic port (a fifth of the
// speed of the decoders below), and folds broadcasts that gemm_tile() wants to use again.
__m512i dot_broadcast(__m512i sum, __m512i codes, const std::int8_t* x) {
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(codes), "m"(*reinterpret_cast<const char(*)[4]>(x)));
  return sum;
}

__m512i broadcast(const std::int8_t* x) {
  __m512i all;
  asm("vpbroadcastd %1, %0" : "=v"(all) : "m"(*reinterpret_cast<const char(*)[4]>(x)));
  return all;
}

__m512i field_mask(int f) { return _mm512_set1_epi8(static_cast<char>(3 << (2 * f))); }

// A layout gives the codes of a block's fields, masked where they stand, without shifts: field f
// comes 4^kPlace[f] times too large, and one arithmetic shift of its sum puts that right, exactly,
// because every term is a multiple of 4^kPlace[f].
struct FourPerByte {
  static constexpr int kFields = 4;
  static constexpr std::size_t kAhead = 512;  // Bytes that are asked for before they are used.
  static constexpr unsigned kPlace[kFields] = {0, 1, 2, 3};
  __m512i mask[4] = {field_mask(0), field_mask(1), field_mask(2), field_mask(3)};

  void fields(__m512i w, __m512i* out) const {
    for (int f = 0; f < 4; ++f) out[f] = _mm512_and_si512(w, mask[f]);
  }
};

#if defined(TERN_AVX512_VBMI)
// ternary_code.h's five digits per byte: one look-up of the slot gives c0..c3 (vpermb takes the low
// six bits), another gives what to flip in an escaped byte (entry 0, nothing, for all others: the
// subtraction saturates). Bits 6-7 of that patch turn the escape mark into c4, and c3 needs none.
struct FivePerByte {
  static constexpr int kFields = 5;
  static constexpr std::size_t kAhead = 16384;
  static constexpr unsigned kPlace[kFields] = {0, 1, 2, 3, 3};
  __m512i quads = load(kFivePerByteTables.quads), patches = load(kFivePerByteTables.patches);
  __m512i mask[4] = {field_mask(0), field_mask(1), field_mask(2), field_mask(3)};
  __m512i ordinary = _mm512_set1_epi8(static_cast<char>(191));

  void fields(__m512i w, __m512i* out) const {
    const __m512i quad = _mm512_permutexvar_epi8(w, quads);
    const __m512i patch = _mm512_permutexvar_epi8(_mm512_subs_epu8(w, ordinary), patches);
    const __m512i patched = _mm512_xor_si512(quad, patch);
    for (int f = 0; f < 3; ++f) out[f] = _mm512_and_si512(patched, mask[f]);
    out[3] = _mm512_and_si512(quad, mask[3]);
    out[4] = _mm512_and_si512(_mm512_xor_si512(w, patch), mask[3]);
  }
};
#endif

// The sum of the fields' sums, which are no more than 4 * (2 << 6) * 128 a block.
template <typename Layout>
__m512i add_fields(const __m512i* sum) {
  __m512i total = sum[0];
  for (int f = 1; f < Layout::kFields; ++f) {
    total = _mm512_add_epi32(total, _mm512_srai_epi32(sum[f], 2 * Layout::kPlace[f]));
  }
  return total;
}

// Blocks until a field's sum could overflow.
constexpr std::size_t kRun = std::size_t{1} << 15;
static_assert(static_cast<long long>(kRun) * 4 * (2 << 6) * -128 >= INT32_MIN);

// Inline, so that the masks stay in registers.
template <typename Layout, std::size_t tokens>
[[gnu::always_inline]] inline void gemv_tile(const Layout& layout, const std::uint8_t* w,
                                             std::size_t blocks, const std::int8_t* x,
                                             std::size_t x_stride, std::int32_t* y) {
  constexpr int kFields = Layout::kFields;
  __m512i total[tokens];
  for (__m512i& t : total) t = _mm512_setzero_si512();
  while (blocks > 0) {
    const std::size_t run = blocks < kRun ? blocks : kRun;
    __m512i sum[tokens][kFields];
    for (auto& token : sum) {
      for (__m512i& s : token) s = _mm512_setzero_si512();
    }
    for (std::size_t b = 0; b < run; ++b, w += 64, x += 4 * kFields) {
      _mm_prefetch(reinterpret_cast<const char*>(w + Layout::kAhead), _MM_HINT_T1);
      __m512i codes[kFields];
      layout.fields(load(w), codes);
#pragma GCC unroll 8
      for (int f = 0; f < kFields; ++f) {
#pragma GCC unroll 8
        for (std::size_t t = 0; t < tokens; ++t) {
          sum[t][f] = dot_broadcast(sum[t][f], codes[f], x + t * x_stride + 4 * f);
        }
      }
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < tokens; ++t) {
      total[t] = _mm512_add_epi32(total[t], add_fields<Layout>(sum[t]));
    }
    blocks -= run;
  }
#pragma GCC unroll 8
  for (std::size_t t = 0; t < tokens; ++t) _mm512_storeu_si512(y + 16 * t, total[t]);
}

template <typename Layout>
void ternary_unpack(const std::uint8_t* w, std::size_t blocks, std::uint8_t* codes,
                    std::size_t step_bytes) noexcept {
  const Layout layout;
  for (std::size_t b = 0; b < blocks; ++b, w += 64) {
    __m512i out[Layout::kFields];
    layout.fields(load(w), out);
    for (int f = 0; f < Layout::kFields; ++f, codes += step_bytes) {
      _mm512_storeu_si512(codes, _mm512_srli_epi16(out[f], 2 * Layout::kPlace[f]));
    }
  }
}

// A tile of `tiles` x 16 rows and `tokens` tokens whose sums stay in registers: unrolled by hand,
// because g++ 12 otherwise decides on registers before it unrolls, and leaves the sums in memory.
template <std::size_t tiles, std::size_t tokens>
void gemm_tile(const std::uint8_t* codes, std::size_t steps, const std::int8_t* x,
               std::size_t x_stride, std::int32_t* y, std::size_t y_stride) {
  __m512i sum[tokens][tiles];
#pragma GCC unroll 8
  for (std::size_t t = 0; t < tokens; ++t) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < tiles; ++i) sum[t][i] = load(y + t * y_stride + 16 * i);
  }
  for (std::size_t s = 0; s < steps; ++s, codes += 64 * tiles, x += 4) {
    __m512i wv[tiles];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < tiles; ++i) wv[i] = load(codes + 64 * i);
#pragma GCC unroll 8
    for (std::size_t t = 0; t < tokens; ++t) {
      const __m512i xv = broadcast(x + t * x_stride);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < tiles; ++i) {
        sum[t][i] = _mm512_dpbusd_epi32(sum[t][i], wv[i], xv);
      }
    }
  }
#pragma GCC unroll 8
  for (std::size_t t = 0; t < tokens; ++t) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < tiles; ++i) {
      _mm512_storeu_si512(y + t * y_stride + 16 * i, sum[t][i]);
    }
  }
}

constexpr std::size_t kPackedTokens = 32;  // Measured: docs/kernels.md.
constexpr std::size_t kGemmTokens = 6;     // 24 sums, 4 weights and an activation in 32 registers.

}  // namespace
}  // namespace tern::kernels

#include "tern/kernels/ternary_lanes.h"

namespace tern::kernels {
namespace {

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

std::uint64_t read_xor(const std::uint8_t* p, std::size_t bytes, std::size_t streams,
                       std::size_t ahead) noexcept {
  __m512i sum[4];
  for (__m512i& s : sum) s = _mm512_setzero_si512();
  const std::uint8_t* from[4];  // Loads j, j + streams, ... belong to one stretch.
  for (std::size_t j = 0; j < 4; ++j) from[j] = p + j % streams * bytes + j / streams * 64;
  const std::size_t step = 256 / streams;
  for (std::size_t i = 0; i + step <= bytes; i += step) {
    for (std::size_t j = 0; j < 4; ++j) {
      if (ahead != 0) _mm_prefetch(reinterpret_cast<const char*>(from[j] + i + ahead), _MM_HINT_T0);
      sum[j] = _mm512_xor_si512(sum[j], load(from[j] + i));
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

#if defined(TERN_AVX512_VBMI)
constexpr const char* kName = "avx512vbmi";
constexpr auto kSupported = cpu_has_avx512vbmi;
constexpr auto kFiveGemv = ternary_gemv<FivePerByte>;
constexpr auto kFiveUnpack = ternary_unpack<FivePerByte>;
#else
constexpr const char* kName = "avx512vnni";
constexpr auto kSupported = cpu_has_avx512vnni;
constexpr decltype(&ternary_gemv<FourPerByte>) kFiveGemv = nullptr;
constexpr decltype(&ternary_unpack<FourPerByte>) kFiveUnpack = nullptr;
#endif

constexpr KernelTable kTable{
    .name = kName,
    .supported = kSupported,
    .ternary_gemv = {ternary_gemv<FourPerByte>, kFiveGemv},
    .packed_tokens = kPackedTokens,
    .ternary_groups = ternary_groups,
    .ternary_unpack = {ternary_unpack<FourPerByte>, kFiveUnpack},
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
    .int8_macs_per_step = 64 * kChains,
    .sliced = &kSlicedAvx512Vnni,
};

}  // namespace

#if defined(TERN_AVX512_VBMI)
constinit const KernelTable kAvx512Vbmi = kTable;
#else
constinit const KernelTable kAvx512Vnni = kTable;
#endif

}  // namespace tern::kernels
