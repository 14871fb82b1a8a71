// Matrices as bytes of a storage type, and what a type would do to them. Internal to tern/convert.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/arch/architecture.h"
#include "tern/base/notice.h"
#include "tern/base/thread_pool.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/tensor/matrix.h"

namespace tern::convert {

using Bytes = std::vector<std::byte>;

// One tensor of a model. `spec` points into the architecture's table.
struct Slot {
  const arch::TensorSpec* spec = nullptr;
  std::size_t layer = 0;
};
// Every matrix and vector that the model needs, embedding first, then layer by layer; rope factors
// are the caller's.
std::vector<Slot> slots(const arch::ModelConfig& config);

// Whether every value of `matrix` is the same number in `type` (F32, F16 or BF16).
bool holds_exactly(const DenseMatrix& matrix, DType type, ThreadPool& pool);
bool holds_exactly(std::span<const float> values, DType type) noexcept;

// The rows of `matrix` in `type`. Throws Error(kUnsupported), naming `name`, for a value that F16
// cannot hold.
Bytes dense_bytes(const DenseMatrix& matrix, DType type, std::string_view name, ThreadPool& pool);
Bytes vector_bytes(std::span<const float> values, DType type);
// The same of digit * scale; every scale has been checked against F16's range.
Bytes expanded_bytes(const TernaryMatrix& matrix, DType type, ThreadPool& pool);

// Rows moved from rotate-half order to GGUF's interleaved order.
Matrix interleave(const Matrix& matrix, std::size_t head_dim);
std::vector<float> interleave(std::span<const float> values, std::size_t head_dim);

// What rounding to `type` (F16 or BF16) does to scales, summed over many matrices.
struct ScaleLoss {
  std::size_t scales = 0, rounded = 0;
  double largest = 0;  // Relative.
  // Throws Error(kUnsupported), naming `name`, for a scale that would become 0 or infinite.
  void add(std::span<const float> values, DType type, std::string_view name);
  // Says how many were rounded and how far, if any were.
  void report(std::string_view type, const Notice& notice) const;
};

}  // namespace tern::convert
