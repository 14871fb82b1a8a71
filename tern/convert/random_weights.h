// Random weights in bulk: a 2B model in seconds. Internal to tern/convert.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/base/thread_pool.h"
#include "tern/tensor/dtype.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern::convert {

// Rows depend on `seed` and their number only, not on the threads.
TernaryMatrix random_ternary(std::size_t rows, std::size_t cols, float scale, std::uint64_t seed,
                             ThreadPool& pool);

// Bytes of a dense matrix with values spread evenly about 0, of standard deviation near `sigma`.
// `type`: F32, F16, BF16, Q8_0, Q6_K or Q4_0, whose blocks are drawn directly.
std::vector<std::byte> random_dense(DType type, std::size_t rows, std::size_t cols, float sigma,
                                    std::uint64_t seed, ThreadPool& pool);

// Norm weights near 1, exact in BF16.
std::vector<float> random_norm(std::size_t n, std::uint64_t seed);

}  // namespace tern::convert
