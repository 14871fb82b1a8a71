// What stands between the products: norms, gates, residuals. Rows of floats, tokens split among
// threads; same bits everywhere.
#pragma once

#include <cstddef>

#include "tern/base/thread_pool.h"
#include "tern/kernels/dispatch.h"

namespace tern::kernels {

// out[t] = (x[t] * r) * weight, r = 1 / sqrt(dot(x, x) / n + eps) in float32, dot as in dense.h.
// Rows at x + t * stride and out + t * stride; out may be x.
void rmsnorm_rows(const KernelTable& k, const float* x, const float* weight, std::size_t n,
                  std::size_t stride, std::size_t tokens, float eps, float* out, ThreadPool& pool);

// One row of `n`, on the calling thread (QK-norm, per head).
void rmsnorm(const KernelTable& k, const float* x, const float* weight, std::size_t n, float eps,
             float* out) noexcept;

// gate = silu(gate) * up, silu(g) = g / (1 + exp(-g)) with exp as kernels define it (error below
// 2 ulp of float); and gate = (max(gate, 0)^2) * up. `count` floats; split among threads.
void silu_mul(const KernelTable& k, float* gate, const float* up, std::size_t count,
              ThreadPool& pool);
void relu2_mul(const KernelTable& k, float* gate, const float* up, std::size_t count,
               ThreadPool& pool);

// a = a + b.
void add(const KernelTable& k, float* a, const float* b, std::size_t count, ThreadPool& pool);

}  // namespace tern::kernels
