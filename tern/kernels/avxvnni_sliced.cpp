// Sliced matrices on AVX2 with the 256-bit vpdpbusd of AVX-VNNI.
#include <immintrin.h>

namespace tern::kernels {
namespace {

__m256i dot4(__m256i sum, __m256i codes, __m256i x) {
#if defined(TERN_AVXVNNI_ON_AVX512)
  return _mm256_dpbusd_epi32(sum, codes, x);  // avxvnni_on_avx512.cpp.
#else
  return _mm256_dpbusd_avx_epi32(sum, codes, x);
#endif
}

}  // namespace
}  // namespace tern::kernels

#include "tern/kernels/avx2_sliced.h"

namespace tern::kernels {

#if defined(TERN_AVXVNNI_ON_AVX512)
extern const SlicedKernels kSlicedAvxVnniOnAvx512;
constinit const SlicedKernels kSlicedAvxVnniOnAvx512 = kSliced;
#else
constinit const SlicedKernels kSlicedAvxVnni = kSliced;
#endif

}  // namespace tern::kernels
