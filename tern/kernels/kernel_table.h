// The kernels that one instruction set offers. Internal to tern/kernels and its tests.
//
// Every function takes pointers and sizes only, reads exactly the bytes it is told of, and gives
// the bits of kScalar (scalar.cpp), the reference. Float results are defined for finite input;
// where a result is a NaN, which NaN is not defined. Sizes may be 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern::kernels {

inline constexpr std::size_t kLanes = 16;  // Of a float sum (dense.h).

// Storage of full-precision weights, as an index into the tables of functions below.
enum DenseKind : std::size_t {
  kDenseF32,
  kDenseF16,
  kDenseBF16,
  kDenseQ8_0,
  kDenseQ6_K,
  kDenseQ4_0
};
inline constexpr std::size_t kDenseKinds = 6;

struct KernelTable {
  const char* name;  // What TERN_ISA, `tern cpu` and the tests call it.
  bool (*supported)() noexcept;

  // Ternary weights (tensor/ternary_matrix.h, k2Bit) times int8. A code is w + 1; sums are of
  // code * x, modulo 2^32, and the caller takes the sum of x off.
  // y[r] over whole rows of `blocks` blocks, row r at w + r * row_bytes.
  void (*ternary_gemv)(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                       const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept;
  // y[r * 4 blocks + f]: the same, one sum per field of 64 columns.
  void (*ternary_fields)(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                         const std::int8_t* x, std::size_t blocks, std::int32_t* y) noexcept;
  // codes[c] = w + 1 for the 256 * blocks columns of one row, one byte each.
  void (*ternary_unpack)(const std::uint8_t* w, std::size_t blocks, std::uint8_t* codes) noexcept;
  // y[t * y_stride + r] = sum over n columns of codes[r * code_stride + c] * x[t * x_stride + c].
  // n is a multiple of 64; codes are at most 2.
  void (*codes_gemm)(const std::uint8_t* codes, std::size_t code_stride, std::size_t rows,
                     const std::int8_t* x, std::size_t x_stride, std::size_t tokens, std::size_t n,
                     std::int32_t* y, std::size_t y_stride) noexcept;
  // out[64 i + j] = digit * scale for `fields` fields of a row, from field `first` on.
  void (*ternary_expand)(const std::uint8_t* w, std::size_t first, std::size_t fields, float scale,
                         float* out) noexcept;

  // Activations to int8 (quantize.h).
  float (*absmax)(const float* x, std::size_t n) noexcept;  // max |x|; 0 for n = 0.
  // q = clamp(round_half_even(x * s), -128, 127).
  void (*quantize)(const float* x, std::size_t n, float s, std::int8_t* q) noexcept;
  void (*field_sums)(const std::int8_t* q, std::size_t fields, std::int32_t* sums) noexcept;

  // Full-precision weights times floats (dense.h).
  // lanes[(t * rows + r) * 16 + l] += products of columns l mod 16, in order, fused. n may be any
  // number: the last step is padded with +0.
  void (*dot_lanes)(const float* a, std::size_t a_stride, std::size_t rows, const float* x,
                    std::size_t x_stride, std::size_t tokens, std::size_t n, float* lanes) noexcept;
  // `cols` values of one row as floats, at any alignment.
  void (*expand[kDenseKinds])(const std::uint8_t* row, std::size_t cols, float* out) noexcept;
  // y[r] = dot(row r as floats, x), row r at w + r * row_bytes.
  void (*dense_gemv[kDenseKinds])(const std::uint8_t* w, std::size_t row_bytes, std::size_t rows,
                                  const float* x, std::size_t cols, float* y) noexcept;

  // Elementwise.
  void (*exp)(const float* x, std::size_t n, float* out) noexcept;
  void (*norm_scale)(const float* x, const float* weight, float r, std::size_t n,
                     float* out) noexcept;  // out = (x * r) * weight
  void (*silu_mul)(float* gate, const float* up, std::size_t n) noexcept;
  void (*relu2_mul)(float* gate, const float* up, std::size_t n) noexcept;
  void (*add)(float* a, const float* b, std::size_t n) noexcept;
  void (*rope)(float* x, std::size_t heads, std::size_t half, const float* cos,
               const float* sin) noexcept;

  // Attention (attention.h). kind is 0 (f32) or 1 (f16).
  void (*to_f16)(const float* x, std::size_t n, std::uint8_t* out) noexcept;
  // p = scores (count <= 64) on entry, exp(scale * score - max) on return; {max, sum} in stats.
  void (*softmax_block)(float* p, std::size_t count, float scale, float* stats) noexcept;
  // out[d] = sum over i in order of fma(p[i], v[i][d], out[d]), from +0.
  void (*weighted_sum[2])(const float* p, std::size_t count, const std::uint8_t* v,
                          std::size_t head_dim, float* out) noexcept;
  void (*merge)(float* a, float fa, const float* b, float fb,
                std::size_t n) noexcept;  // a fa + b fb
  void (*divide)(const float* a, float by, std::size_t n, float* out) noexcept;

  // For machine_ceilings.h.
  std::uint64_t (*read_xor)(const std::uint8_t* p, std::size_t bytes) noexcept;  // Multiple of 256.
  // Runs `steps` steps of int8_macs_per_step multiply-adds in registers; the value means nothing.
  std::int32_t (*int8_steps)(std::size_t steps) noexcept;
  std::size_t int8_macs_per_step;

  // Sliced matrices (sliced_kernels.h), in a file of their own for each instruction set.
  const struct SlicedKernels* sliced;
};

// What a table's `supported` asks (dispatch.cpp answers, from base/system.h).
bool cpu_has_avx2() noexcept;
bool cpu_has_avxvnni() noexcept;
bool cpu_has_avx512vnni() noexcept;
bool cpu_has_neon_dotprod() noexcept;

extern const KernelTable kScalar;
#if defined(__x86_64__)
extern const KernelTable kAvx2;
extern const KernelTable kAvxVnni;
extern const KernelTable kAvx512Vnni;
#elif defined(__aarch64__)
extern const KernelTable kNeonDotprod;
#endif

}  // namespace tern::kernels
