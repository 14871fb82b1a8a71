// How many weights of a ternary matrix are -1, 0 and +1.
#pragma once

#include <array>
#include <cstdint>

#include "tern/base/thread_pool.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern::convert {

// Numbers of -1, 0 and +1, in this order; rows * cols together.
using DigitCounts = std::array<std::uint64_t, 3>;

DigitCounts count_digits(const TernaryMatrix& matrix, ThreadPool& pool);

}  // namespace tern::convert
