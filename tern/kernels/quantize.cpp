// Splits tokens among threads and keeps the rows of int8 tidy.
#include "tern/kernels/quantize.h"

#include <algorithm>
#include <cstring>

#include "tern/kernels/kernel_table.h"
#include "tern/tensor/ternary_matrix.h"

namespace tern::kernels {
namespace {

constexpr float kSmallestMax = 1e-5f;

void quantize_row(const KernelTable& k, const float* x, Int8Rows& out, std::size_t t) {
  auto* q = out.storage.as<std::int8_t>().data() + t * out.stride;
  const std::size_t group = out.group == 0 ? out.cols : out.group;
  for (std::size_t g = 0; g < out.groups; ++g) {
    const std::size_t begin = g * group;
    const std::size_t n = std::min(group, out.cols - begin);
    const float max = std::max(k.absmax(x + begin, n), kSmallestMax);
    k.quantize(x + begin, n, 127.0f / max, q + begin);
    out.scales[t * out.groups + g] = max / 127.0f;
  }
  std::memset(q + out.cols, 0, out.stride - out.cols);
  const std::size_t fields = out.stride / kTernaryField;
  k.field_sums(q, fields, out.sums.data() + t * fields);
}

}  // namespace

void Int8Rows::resize(std::size_t new_tokens, std::size_t new_cols, std::size_t new_group) {
  tokens = new_tokens;
  cols = new_cols;
  stride = (new_cols + 19 + kTernaryField - 1) / kTernaryField * kTernaryField;
  group = new_group;
  groups = new_group == 0 ? 1 : (new_cols + new_group - 1) / new_group;
  if (storage.size() < tokens * stride) storage = AlignedBuffer(tokens * stride);
  scales.resize(tokens * groups);
  sums.resize(tokens * (stride / kTernaryField));
}

void quantize_rows(const KernelTable& k, const float* x, std::size_t x_stride, Int8Rows& out,
                   ThreadPool& pool) {
  pool.parallel_for(out.tokens, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t t = begin; t < end; ++t) quantize_row(k, x + t * x_stride, out, t);
  });
}

}  // namespace tern::kernels
