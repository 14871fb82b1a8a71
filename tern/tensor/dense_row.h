// One row of numbers in any full-precision or block-quantised storage, as floats: the definition
// that every faster reader must equal, bit for bit.
//
// Q8_0: 32 weights = f16 d, 32 int8 q;              w = d * q.
// Q4_0: 32 weights = f16 d, 16 bytes; byte j holds weight j (low nibble), j + 16 (high); w = d (n -
// 8). Q6_K: 256 weights = ql[128], qh[64], int8 sc[16], f16 d; two halves of 128. In half h, weight
//       32k + l (k 0..3, l 0..31) has low 4 bits in ql[64h + 32(k & 1) + l] >> 4(k >> 1), high 2
//       bits in qh[32h + l] >> 2k, scale sc[8h + 2k + l / 16]; w = (d * sc) * (q - 32).
// (docs/formats/gguf.md; read from GGML's definitions of these blocks.)
#pragma once

#include <cstddef>

#include "tern/tensor/dtype.h"

namespace tern {

// Whether rows of `type` can be read here: F64, F32, F16, BF16, Q8_0, Q6_K, Q4_0.
bool is_dense(DType type) noexcept;

// `row` holds dtype_bytes(type, 1, cols) bytes at any alignment; `out` has room for `cols` floats.
// Requires is_dense(type). F64 is rounded to float.
void dense_row_to_float(DType type, const std::byte* row, std::size_t cols, float* out) noexcept;

// Whether dense_row_to_float() would write finite numbers only; far faster than it. Same
// requirements.
bool dense_row_finite(DType type, const std::byte* row, std::size_t cols) noexcept;

}  // namespace tern
