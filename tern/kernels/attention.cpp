// Attention block by block; the arithmetic is in the tables.
#include "tern/kernels/attention.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

const std::uint8_t* bytes_of(const std::byte* p) noexcept {
  return reinterpret_cast<const std::uint8_t*>(p);
}

}  // namespace

void kv_store(const KernelTable& k, KvType type, const float* x, std::size_t head_dim,
              std::byte* block, std::size_t slot) noexcept {
  std::byte* at = block + slot * head_dim * kv_type_bytes(type);
  if (type == KvType::kF32) {
    std::memcpy(at, x, head_dim * sizeof(float));
  } else {
    k.to_f16(x, head_dim, reinterpret_cast<std::uint8_t*>(at));
  }
}

void attention(const KernelTable& k, const float* q, std::size_t head_dim, float scale,
               std::span<const std::byte* const> k_blocks, KvType k_type,
               std::span<const std::byte* const> v_blocks, KvType v_type, std::size_t count,
               float* out) noexcept {
  assert(head_dim <= kMaxHeadDim && count > 0);
  const auto dot_rows = k.dense_gemv[k_type == KvType::kF32 ? kDenseF32 : kDenseF16];
  const auto weighted_sum = k.weighted_sum[v_type == KvType::kF32 ? 0 : 1];
  alignas(64) float p[kKvBlock];
  alignas(64) float sum[kMaxHeadDim];
  alignas(64) float block_sum[kMaxHeadDim];
  float max = 0, length = 0;
  for (std::size_t b = 0; b * kKvBlock < count; ++b) {
    const std::size_t keys = std::min(kKvBlock, count - b * kKvBlock);
    dot_rows(bytes_of(k_blocks[b]), head_dim * kv_type_bytes(k_type), keys, q, head_dim, p);
    float stats[2];
    k.softmax_block(p, keys, scale, stats);
    weighted_sum(p, keys, bytes_of(v_blocks[b]), head_dim, b == 0 ? sum : block_sum);
    if (b == 0) {
      max = stats[0];
      length = stats[1];
      continue;
    }
    const float merged = max > stats[0] ? max : stats[0];
    float factors[2] = {max - merged, stats[0] - merged};
    k.exp(factors, 2, factors);
    length = length * factors[0] + stats[1] * factors[1];
    k.merge(sum, factors[0], block_sum, factors[1], head_dim);
    max = merged;
  }
  k.divide(sum, length, head_dim, out);
}

}  // namespace tern::kernels
