// Tensors of a file -> the forms in which they stay in memory.
#pragma once

#include <string>
#include <vector>

#include "tern/base/thread_pool.h"
#include "tern/quant/float_codec.h"
#include "tern/tensor/matrix.h"
#include "tern/tensor/tensor_view.h"

namespace tern::checkpoint {

// All values as floats. Throws Error(kUnsupported) for a type that holds no floats, and
// Error(kCorruptFile) for a value that is not finite.
std::vector<float> read_floats(const TensorView& tensor);

// What to do with a tensor of plain floats that is not exactly ternary.
enum class FloatWeights {
  kKeep,           // It is multiplied as it is.
  kLatent,         // Quantised now, as b1.58 does in every forward pass.
  kMustBeTernary,  // The file says that it is ternary already; refused.
};

// A float or block-quantised tensor: ternary where it holds only {-s, 0, +s}, else as `otherwise`
// says. A DenseMatrix is a view of the tensor's bytes (F64: an own copy as F32). Throws
// Error(kCorruptFile) where a number is not finite.
Matrix load_float_matrix(const TensorView& tensor, FloatWeights otherwise, ThreadPool& pool);

// Latent weights as training quantises them, whatever their values. Throws Error(kUnsupported) for
// block-quantised ones, which nothing was trained from.
Matrix load_latent_matrix(const TensorView& tensor, const quant::LatentQuantization& how,
                          ThreadPool& pool);

// Floats of a model that declares them: dense, even where they happen to be -s, 0, +s. Throws as
// load_float_matrix() does.
Matrix load_declared_float(const TensorView& tensor, ThreadPool& pool);

// Rows of GGUF's interleaved order -> HF's rotate-half order, head by head.
std::vector<float> rotate_half_order(const std::vector<float>& rows, std::size_t head_dim);
Matrix rotate_half_order(const Matrix& matrix, std::size_t head_dim, ThreadPool& pool);

// "tensor 'NAME'", for messages.
std::string tensor_text(const TensorView& tensor);

}  // namespace tern::checkpoint
