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
inline constexpr std::size_t kTernaryLayouts = 2;
inline constexpr std::size_t kGemvTokens = 4;  // That meet packed weights without unpacking.
inline constexpr std::size_t kPanelTiles = 4;  // Tiles of unpacked codes that meet tokens together.

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

inline constexpr std::size_t kKvKinds = 4;  // attention.h's KvType.
inline constexpr std::size_t kAttendRows =
    6;  // Query rows that the attention kernels take at once.

// Memory that is needed soon: `lines` cache lines from `at` on. A kernel asks for them as it goes.
struct Ahead {
  const std::uint8_t* at;
  std::size_t lines;
};

struct KernelTable {
  const char* name;  // What TERN_ISA, `tern cpu` and the tests call it.
  bool (*supported)() noexcept;

  // Ternary weights times int8 (tensor/ternary_matrix.h; functions by TernaryLayout, null where a
  // table does not have that layout: kFourPerByte is always there). A code is w + 1; sums are of
  // code * x, modulo 2^32, and the caller takes the sum of x off.
  // Whole tiles, one after the other, of `blocks` blocks, times 1 .. kGemvTokens rows of x:
  // y[(tile * tokens + t) * 16 + row of the tile]. Reads x up to the end of the blocks.
  void (*ternary_gemv[kTernaryLayouts])(const std::uint8_t* w, std::size_t tiles,
                                        std::size_t blocks, const std::int8_t* x,
                                        std::size_t x_stride, std::size_t tokens,
                                        std::int32_t* y) noexcept;
  // Up to so many tokens are multiplied so, kGemvTokens at a time; more meet unpacked panels.
  std::size_t packed_tokens;
  // One tile (kFourPerByte) and one token, a sum for every `group` blocks (the last group may have
  // fewer): y[g * 16 + row].
  void (*ternary_groups)(const std::uint8_t* w, std::size_t blocks, std::size_t group,
                         const std::int8_t* x, std::int32_t* y) noexcept;
  // Codes of one tile, a byte each, for all steps of `blocks` blocks: 64 of them at
  // codes + s * step_bytes, which are columns 4 s .. 4 s + 3 (row-major), unless the table prefers
  // another order: its codes_gemm knows that, and nothing else may read them.
  void (*ternary_unpack[kTernaryLayouts])(const std::uint8_t* w, std::size_t blocks,
                                          std::uint8_t* codes, std::size_t step_bytes) noexcept;
  // y[t * y_stride + 16 * tile + row] += sum over `steps` steps of unpacked codes times x. Step s
  // of tile i stands at codes + (s * tiles + i) * 64; tiles is 1 .. kPanelTiles. The codes are of
  // whole blocks, and of this table's ternary_unpack.
  void (*codes_gemm)(const std::uint8_t* codes, std::size_t tiles, std::size_t steps,
                     const std::int8_t* x, std::size_t x_stride, std::size_t tokens,
                     std::int32_t* y, std::size_t y_stride) noexcept;

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

  // Attention (attention.h). Rows are at most kAttendRows; [kKvKinds] goes by KvType.
  void (*to_f16)(const float* x, std::size_t n, std::uint8_t* out) noexcept;
  // s[64 r + i] = chain over d of fma(q[d * rows + r], k_i[d], s) for the positions i of the first
  // `pieces` sixteens of a block. What follows positions that were never stored means nothing.
  void (*keys_dot[kKvKinds])(const std::uint8_t* keys, std::size_t head_dim, std::size_t pieces,
                             const float* q, std::size_t rows, float* s, Ahead ahead) noexcept;
  // s[64 r + i] = w_i for i < counts[r] (1..64), +0 for the others; max[r] = m, length[r] = l.
  // Scales are 64 f16 of a block, or null where the type has none.
  void (*softmax_rows)(float* s, std::size_t rows, const std::size_t* counts, float scale,
                       const std::uint8_t* key_scales, const std::uint8_t* value_scales, float* max,
                       float* length) noexcept;
  // Folds (max, length) with those of a next block: fa, fb of each row; max and length become M, l.
  void (*fold_rows)(float* max, float* length, const float* next_max, const float* next_length,
                    std::size_t rows, float* fa, float* fb) noexcept;
  // x = chain over i < positions of fma(w[64 r + i], v_i[d], x) from +0, for d < width (a multiple
  // of 16); o[r * width + d] = x where fa is null, else o fa[r] + x fb[r].
  void (*values_sum[kKvKinds])(const float* w, std::size_t rows, std::size_t positions,
                               const std::uint8_t* values, std::size_t width, const float* fa,
                               const float* fb, float* o, Ahead ahead) noexcept;
  void (*merge)(float* a, float fa, const float* b, float fb,
                std::size_t n) noexcept;                                         // a fa + b fb
  void (*divide)(const float* a, float by, std::size_t n, float* out) noexcept;  // a / by + (+0)

  // For machine_ceilings.h.
  // The exclusive or of `streams` (1, 2 or 4) stretches of `bytes` bytes (a multiple of 256), one
  // behind the other, read side by side; prefetches `ahead` bytes ahead unless that is 0.
  std::uint64_t (*read_xor)(const std::uint8_t* p, std::size_t bytes, std::size_t streams,
                            std::size_t ahead) noexcept;
  // Runs `steps` steps of int8_macs_per_step multiply-adds in registers; the value means nothing.
  std::int32_t (*int8_steps)(std::size_t steps) noexcept;
  std::size_t int8_macs_per_step;

  // Sliced matrices (sliced_kernels.h), in a file of their own for each instruction set.
  const struct SlicedKernels* sliced;
};

// Look-ups that decode five digits per byte (tensor/ternary_code.h) in vectors (avx512vbmi.cpp):
// the codes c0..c3 of each slot, two bits each; and by 1 + the slot of an escaped byte what to flip
// in those and, in bits 6-7, in the byte itself to make it c4. Entry 0 flips nothing.
struct FivePerByteTables {
  alignas(64) std::uint8_t quads[64];
  alignas(64) std::uint8_t patches[64];
};
extern const FivePerByteTables kFivePerByteTables;

// What a table's `supported` asks (dispatch.cpp answers, from base/system.h).
bool cpu_has_avx2() noexcept;
bool cpu_has_avxvnni() noexcept;
bool cpu_has_avx512vnni() noexcept;
bool cpu_has_avx512vbmi() noexcept;
bool cpu_has_neon_dotprod() noexcept;
bool cpu_has_neon_i8mm() noexcept;

extern const KernelTable kScalar;
#if defined(__x86_64__)
extern const KernelTable kAvx2;
extern const KernelTable kAvxVnni;
extern const KernelTable kAvx512Vnni;
extern const KernelTable kAvx512Vbmi;
#elif defined(__aarch64__)
extern const KernelTable kNeonDotprod;
extern const KernelTable kNeonI8mm;
#endif

}  // namespace tern::kernels
