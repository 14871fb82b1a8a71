// avxvnni_sliced.cpp once more, for the tests only, as avxvnni_on_avx512.cpp is.
#define TERN_AVXVNNI_ON_AVX512
#include "tern/kernels/avxvnni_sliced.cpp"
