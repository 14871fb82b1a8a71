// Splits rows and ranges among threads; the arithmetic is in the tables.
#include "tern/kernels/elementwise.h"

#include <cmath>

#include "tern/kernels/dense.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

// Below this many numbers, waking the others costs more than they save.
constexpr std::size_t kGrain = 4096;

}  // namespace

void rmsnorm(const KernelTable& k, const float* x, const float* weight, std::size_t n, float eps,
             float* out) noexcept {
  const float mean = dot(k, x, x, n) / static_cast<float>(n);
  k.norm_scale(x, weight, 1.0f / std::sqrt(mean + eps), n, out);
}

void rmsnorm_rows(const KernelTable& k, const float* x, const float* weight, std::size_t n,
                  std::size_t stride, std::size_t tokens, float eps, float* out, ThreadPool& pool) {
  pool.parallel_for(tokens, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) {
      rmsnorm(k, x + t * stride, weight, n, eps, out + t * stride);
    }
  });
}

void silu_mul(const KernelTable& k, float* gate, const float* up, std::size_t count,
              ThreadPool& pool) {
  pool.parallel_for(count, kGrain, [&](std::size_t begin, std::size_t end) {
    k.silu_mul(gate + begin, up + begin, end - begin);
  });
}

void relu2_mul(const KernelTable& k, float* gate, const float* up, std::size_t count,
               ThreadPool& pool) {
  pool.parallel_for(count, kGrain, [&](std::size_t begin, std::size_t end) {
    k.relu2_mul(gate + begin, up + begin, end - begin);
  });
}

void add(const KernelTable& k, float* a, const float* b, std::size_t count, ThreadPool& pool) {
  pool.parallel_for(count, kGrain, [&](std::size_t begin, std::size_t end) {
    k.add(a + begin, b + begin, end - begin);
  });
}

}  // namespace tern::kernels
