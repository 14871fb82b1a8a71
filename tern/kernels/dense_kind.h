// From a storage type to its place in KernelTable's arrays. Internal to tern/kernels.
#pragma once

#include <cassert>

#include "tern/kernels/kernel_table.h"
#include "tern/tensor/dtype.h"

namespace tern::kernels {

inline DenseKind dense_kind(DType type) noexcept {
  switch (type) {
    case DType::kF16:
      return kDenseF16;
    case DType::kBF16:
      return kDenseBF16;
    case DType::kQ8_0:
      return kDenseQ8_0;
    case DType::kQ6_K:
      return kDenseQ6_K;
    case DType::kQ4_0:
      return kDenseQ4_0;
    default:
      assert(type == DType::kF32);
      return kDenseF32;
  }
}

}  // namespace tern::kernels
