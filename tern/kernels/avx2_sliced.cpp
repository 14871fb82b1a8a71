// Sliced matrices on AVX2 with FMA and F16C.
#include <immintrin.h>

#include <cstdint>

namespace tern::kernels {
namespace {

// Codes are at most 63, x at least -127: a pair of products fits 16 bits.
static_assert(63 * 2 * 127 <= INT16_MAX);

__m256i dot4(__m256i sum, __m256i codes, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(codes, x);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

}  // namespace
}  // namespace tern::kernels

#include "tern/kernels/avx2_sliced.h"

namespace tern::kernels {

constinit const SlicedKernels kSlicedAvx2 = kSliced;

}  // namespace tern::kernels
