// neon_dotprod.cpp once more with the products of 2 x 8 by 8 x 2 bytes (FEAT_I8MM). Runs only where
// kNeonI8mm.supported() says so.
#define TERN_NEON_I8MM
#include "tern/kernels/neon_dotprod.cpp"
