// Plain loops that the compiler also makes for AVX2, chosen once when the program starts: for what
// is worth a wider vector but not a kernel per instruction set (tern/kernels has those).
#pragma once

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__)
#define TERN_VECTOR_CLONES [[gnu::target_clones("avx2", "default")]]
#else  // Resolvers run before AddressSanitizer is ready.
#define TERN_VECTOR_CLONES
#endif
