// avxvnni.cpp once more, for the tests only: its logic on machines that have the instruction in the
// AVX-512 form. A file of its own because with -mavxvnni the compiler would choose the VEX form.
#define TERN_AVXVNNI_ON_AVX512
#include "tern/kernels/avxvnni.cpp"
