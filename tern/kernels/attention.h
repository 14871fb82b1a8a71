// Attention of one query head over a KV cache in blocks of 64 positions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/kernels/dispatch.h"

namespace tern::kernels {

inline constexpr std::size_t kKvBlock = 64;  // Positions per block of the cache.

enum class KvType : std::uint8_t { kF32, kF16 };
constexpr std::size_t kv_type_bytes(KvType t) noexcept { return t == KvType::kF32 ? 4 : 2; }

// A block of one layer and one KV head: 64 positions of head_dim numbers, position-major.
// Stores head_dim floats as position `slot` (0..63) of a block (f16: rounded to nearest even).
void kv_store(const KernelTable& k, KvType type, const float* x, std::size_t head_dim,
              std::byte* block, std::size_t slot) noexcept;

// out = softmax(scale * q . K) V over positions [0, count). Block b of the table holds positions
// 64 b .. 64 b + 63; only the first `count` positions are read. One definition, whatever the batch,
// the thread or the instruction set:
//   per block: score_i = scale * dot(q, k_i) (dense.h's dot); m = max; p_i = exp(score_i - m);
//              l = sum of p_i (16 lanes by position and the tree of dense.h, absent positions +0);
//              o_d = sum over i in order of fma(p_i, v_i[d], o_d), from +0
//   merged left to right: M = max(m_a, m_b); fa = exp(m_a - M), fb = exp(m_b - M);
//              l = l_a fa + l_b fb; o = o_a fa + o_b fb (each product and sum rounded)
//   out = o / l
// Type K and V may differ. `q`, `out`: head_dim floats. Runs on the calling thread. head_dim is at
// most kMaxHeadDim (the checkpoint reader has checked).
inline constexpr std::size_t kMaxHeadDim = 512;
void attention(const KernelTable& k, const float* q, std::size_t head_dim, float scale,
               std::span<const std::byte* const> k_blocks, KvType k_type,
               std::span<const std::byte* const> v_blocks, KvType v_type, std::size_t count,
               float* out) noexcept;

}  // namespace tern::kernels
