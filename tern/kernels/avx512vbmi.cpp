// avx512vnni.cpp once more with VBMI, whose byte look-ups decode five ternary digits per byte. Runs
// only where kAvx512Vbmi.supported() says so.
#define TERN_AVX512_VBMI
#include "tern/kernels/avx512vnni.cpp"
