// Plain loops that the compiler also makes for AVX2, chosen once when the program starts: for what
// is worth a wider vector but not a kernel per instruction set (tern/kernels has those).
#pragma once

// The choice runs before a sanitizer is ready: no clones there.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TERN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TERN_SANITIZED 1
#endif
#endif

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(TERN_SANITIZED)
#define TERN_VECTOR_CLONES [[gnu::target_clones("avx2", "default")]]
#else
#define TERN_VECTOR_CLONES
#endif
