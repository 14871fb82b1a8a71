// Float tensors, exact ternary ones among them, and the order of rows.
#include "tern/checkpoint/load_matrix.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <utility>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/base/mapped_file.h"
#include "tern/quant/float_codec.h"
#include "tern/tensor/dense_row.h"

namespace tern::checkpoint {
namespace {

DenseMatrix dense_matrix(const TensorView& tensor) {
  DenseMatrix m;
  m.type = tensor.type;
  m.rows = static_cast<std::size_t>(tensor.rows());
  m.cols = static_cast<std::size_t>(tensor.cols());
  m.bytes = tensor.bytes;
  if (tensor.type == DType::kF64) {  // No kernel reads it, and no model was trained in it.
    m.type = DType::kF32;
    m.owned = AlignedBuffer(m.rows * m.cols * sizeof(float));
    dense_row_to_float(DType::kF64, tensor.bytes.data(), m.rows * m.cols,
                       m.owned.as<float>().data());
    m.bytes = {m.owned.data(), m.owned.size()};
  }
  return m;
}

// One NaN in an embedding makes every logit NaN, long after anybody could say where it came from.
void refuse_not_finite(const TensorView& tensor, ThreadPool& pool) {
  const auto rows = static_cast<std::size_t>(tensor.rows());
  const auto cols = static_cast<std::size_t>(tensor.cols());
  const std::size_t row_bytes = tensor.bytes.size() / rows;
  std::atomic<std::size_t> first{rows};
  pool.parallel_for(rows, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      if (dense_row_finite(tensor.type, tensor.bytes.data() + r * row_bytes, cols)) continue;
      std::size_t known = first.load();
      while (r < known && !first.compare_exchange_weak(known, r)) {
      }
      return;
    }
  });
  if (first == rows) return;
  throw Error(ErrorCode::kCorruptFile, tensor_text(tensor) + " holds NaN or infinity in row " +
                                           std::to_string(first) +
                                           ", expected only finite numbers");
}

void check_floats(const TensorView& tensor) {
  if (is_dense(tensor.type)) return;
  throw Error(ErrorCode::kUnsupported, tensor_text(tensor) + " has type " +
                                           std::string(dtype_name(tensor.type)) +
                                           ", expected floats or a ternary type");
}

// The row of GGUF's order that holds HF's row `r`.
std::vector<std::size_t> file_rows(std::size_t rows, std::size_t head_dim) {
  std::vector<std::size_t> from(rows);
  for (std::size_t r = 0; r < rows; ++r) from[arch::interleaved_source(r, head_dim)] = r;
  return from;
}

TernaryMatrix reorder(const TernaryMatrix& m, const std::vector<std::size_t>& from,
                      ThreadPool& pool) {
  const std::size_t per_row = m.scale_kind() == ScaleKind::kTensor ? 0 : m.groups_per_row();
  std::vector<float> scales(m.scales().begin(), m.scales().end());
  for (std::size_t r = 0; per_row != 0 && r < m.rows(); ++r) {
    for (std::size_t g = 0; g < per_row; ++g) {
      scales[r * per_row + g] = m.scales()[from[r] * per_row + g];
    }
  }
  TernaryMatrix out(m.rows(), m.cols(), m.scale_kind(), m.group(), std::move(scales), m.layout());
  pool.parallel_for(m.rows(), 1, [&](std::size_t begin, std::size_t end) {
    std::vector<std::int8_t> digits(m.cols());
    for (std::size_t r = begin; r < end; ++r) {
      m.get_row(from[r], digits);
      out.set_row(r, digits);
    }
  });
  return out;
}

DenseMatrix reorder(const DenseMatrix& m, const std::vector<std::size_t>& from, ThreadPool& pool) {
  DenseMatrix out;
  out.type = m.type;
  out.rows = m.rows;
  out.cols = m.cols;
  out.owned = AlignedBuffer(m.bytes.size());
  out.bytes = {out.owned.data(), out.owned.size()};
  pool.parallel_for(m.rows, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      std::memcpy(out.owned.data() + r * m.row_bytes(), m.row(from[r]), m.row_bytes());
    }
  });
  return out;
}

}  // namespace

std::string tensor_text(const TensorView& tensor) { return "tensor '" + tensor.name + "'"; }

std::vector<float> read_floats(const TensorView& tensor) {
  if (!is_dense(tensor.type)) {
    throw Error(ErrorCode::kUnsupported, tensor_text(tensor) + " has type " +
                                             std::string(dtype_name(tensor.type)) +
                                             ", expected F32, F16 or BF16");
  }
  std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
  dense_row_to_float(tensor.type, tensor.bytes.data(), values.size(), values.data());
  for (const float value : values) {
    if (!std::isfinite(value)) {
      throw Error(ErrorCode::kCorruptFile, tensor_text(tensor) + " holds " + std::to_string(value) +
                                               ", expected only finite numbers");
    }
  }
  return values;
}

Matrix load_float_matrix(const TensorView& tensor, FloatWeights otherwise, ThreadPool& pool) {
  check_floats(tensor);
  if (auto exact = quant::exact_ternary(tensor, pool)) {
    drop_pages(tensor.bytes);
    return std::move(*exact);
  }
  if (otherwise == FloatWeights::kKeep) return load_declared_float(tensor, pool);
  if (otherwise == FloatWeights::kMustBeTernary) {
    throw Error(
        ErrorCode::kCorruptFile,
        tensor_text(tensor) + " has type " + std::string(dtype_name(tensor.type)) +
            " and more values than -s, 0, +s, expected weights that are ternary already, as "
            "the file says");
  }
  return load_latent_matrix(tensor, {}, pool);
}

Matrix load_latent_matrix(const TensorView& tensor, const quant::LatentQuantization& how,
                          ThreadPool& pool) {
  check_floats(tensor);
  if (dtype_block(tensor.type) != 1) {
    throw Error(ErrorCode::kUnsupported,
                tensor_text(tensor) + " has type " + std::string(dtype_name(tensor.type)) +
                    ", which is not what the ternary weights were trained from (expected a ternary "
                    "type, F32, F16 or BF16)");
  }
  TernaryMatrix quantised = quant::quantize_latent(tensor, how, pool);
  drop_pages(tensor.bytes);
  return quantised;
}

Matrix load_declared_float(const TensorView& tensor, ThreadPool& pool) {
  check_floats(tensor);
  refuse_not_finite(tensor, pool);
  return dense_matrix(tensor);
}

std::vector<float> rotate_half_order(const std::vector<float>& rows, std::size_t head_dim) {
  std::vector<float> out(rows.size());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    out[arch::interleaved_source(r, head_dim)] = rows[r];
  }
  return out;
}

Matrix rotate_half_order(const Matrix& matrix, std::size_t head_dim, ThreadPool& pool) {
  const std::vector<std::size_t> from = file_rows(matrix_rows(matrix), head_dim);
  if (const auto* ternary = std::get_if<TernaryMatrix>(&matrix)) {
    return reorder(*ternary, from, pool);
  }
  return reorder(std::get<DenseMatrix>(matrix), from, pool);
}

}  // namespace tern::checkpoint
