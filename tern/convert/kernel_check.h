// Kernels of this CPU against the scalar ones on rows of a real matrix. Internal to tern/convert.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "tern/base/thread_pool.h"
#include "tern/kernels/dispatch.h"
#include "tern/model/model.h"
#include "tern/tensor/matrix.h"

namespace tern::convert {

// Those that run here, scalar last.
std::vector<const kernels::KernelTable*> usable_tables();

// The first difference between any of the usable tables (and, for ternary matrices, a plain loop)
// on sample rows of `matrix`, as "kernel avx2: row 17 of ... "; nullopt where there is none.
// `activation_group` as model::Linear has it; `linear`: with int8 activations.
std::optional<std::string> kernel_difference(const Matrix& matrix, std::size_t activation_group,
                                             bool linear, ThreadPool& pool);

}  // namespace tern::convert
