// Attention over a KV cache in blocks of 64 positions: what is stored, and the order of its sums.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/base/aligned_buffer.h"
#include "tern/kernels/dispatch.h"

namespace tern::kernels {

inline constexpr std::size_t kKvBlock = 64;  // Positions per block of the cache.
inline constexpr std::size_t kKvSpan = 512;  // Positions per span: blocks that are folded first.
inline constexpr std::size_t kSpanBlocks = kKvSpan / kKvBlock;
inline constexpr std::size_t kMaxHeadDim = 512;  // The checkpoint reader has checked.

// How keys or values are stored. An int8 or int4 number is code * scale, one scale for each
// position and KV head:
//   scale = max |x| / most (127 or 7), rounded up to f16 (at most 65504)
//   code  = clamp(round_half_even(x * (1 / scale)), -most, most); all 0 where scale is 0
// An f16 number is x clamped to +-65504, rounded to nearest even.
enum class KvType : std::uint8_t { kF32, kF16, kInt8, kInt4 };
inline constexpr std::size_t kKvTypes = 4;

// One block of one layer and one KV head. Keys lie by dimension and values by position, because a
// lane is a key where scores are summed, and a dimension where values are. Both are read from the
// first byte to the last:
//   keys:   head_dim times 64 numbers. int4: byte j of the 32 holds positions j and j + 32.
//   values: panels of 64 dimensions (the last of what is left, up to a multiple of 16; what is past
//           head_dim means nothing), each 64 positions times its dimensions. int4: byte j of each
//           16 holds dimensions j and j + 16 of 32, so that the last panel may have 16 more.
//   int4 codes are stored as code + 8, the first of two in the low bits.
//   int8 and int4: then 64 f16 scales.
// Blocks begin at multiples of 64 bytes; these are multiples of 64.
inline constexpr std::size_t kValuePanel = 64;
constexpr std::size_t kv_width(std::size_t head_dim) noexcept { return (head_dim + 15) / 16 * 16; }
std::size_t kv_key_bytes(KvType type, std::size_t head_dim) noexcept;
std::size_t kv_value_bytes(KvType type, std::size_t head_dim) noexcept;

// Stores head_dim floats as position `slot` (0..63) of a block. Other positions keep their bits,
// but two of them can share a byte: one thread at a time stores into a block.
void kv_store_key(const KernelTable& k, KvType type, const float* x, std::size_t head_dim,
                  std::byte* block, std::size_t slot) noexcept;
void kv_store_value(const KernelTable& k, KvType type, const float* x, std::size_t head_dim,
                    std::byte* block, std::size_t slot) noexcept;

// out = softmax(scale * q . K) V for one query row over positions [0, count). One definition,
// whatever the batch, the split, the thread or the instruction set:
//   per block of 64 positions, by absolute position:
//     s_i = chain over d in order of fma(q[d], k_i[d], s_i) from +0, k_i[d] being the code of int8
//           and int4; score_i = s_i * scale, or (s_i * key scale_i) * scale
//     m = max of score_i; p_i = exp(score_i - m)
//     l = sum of p_i (16 lanes by position and the tree of dense.h, absent positions +0)
//     w_i = p_i, or p_i * value scale_i; o_d = chain over i in order of fma(w_i, v_i[d], o_d), +0
//   blocks folded left to right within a span, then spans folded left to right:
//     M = max(m_a, m_b); fa = exp(m_a - M), fb = exp(m_b - M);
//     l = l_a fa + l_b fb; o = o_a fa + o_b fb (each product and sum rounded)
//   out = o / l + (+0), so that a zero has one sign
struct AttentionShape {
  std::size_t head_dim = 0;
  float scale = 1;
  KvType k_type = KvType::kF32, v_type = KvType::kF32;
};

struct KvBlockView {
  const std::byte* keys;
  const std::byte* values;
};

// Query rows that read the same keys: neighbouring tokens of one text times the heads that share a
// KV head. Row t * group + g is head g of token t and sees positions [0, position + t + 1). The
// tokens lie in one block: position % 64 + tokens <= 64.
struct QueryTile {
  const float* q = nullptr;  // Head g of token t at q + t * stride + g * head_dim; so is `out`.
  float* out = nullptr;
  std::size_t stride = 0, tokens = 0, group = 0;
  std::size_t position = 0;  // Of the first token.

  std::size_t rows() const noexcept { return tokens * group; }
  std::size_t blocks() const noexcept { return position / kKvBlock + 1; }
  std::size_t spans() const noexcept { return position / kKvSpan + 1; }
};

// Floats of the (m, l, o) of a tile's rows.
std::size_t attention_state_floats(std::size_t rows, std::size_t head_dim) noexcept;

// Memory of one thread at work on tiles of at most `rows` rows.
class AttentionScratch {
 public:
  AttentionScratch(std::size_t rows, std::size_t head_dim);

 private:
  friend void attention_span(const KernelTable&, const AttentionShape&, const QueryTile&,
                             std::size_t, std::span<const KvBlockView>, AttentionScratch&,
                             float*) noexcept;
  friend void attention(const KernelTable&, const AttentionShape&, const QueryTile&,
                        std::span<const KvBlockView>, AttentionScratch&) noexcept;
  AlignedBuffer packed_, scores_, state_, part_;
};

// All of a tile: out of tile.blocks() blocks. Only positions that a row sees have a part in its
// result, but a block's memory is whole. One block more than that is only asked for, as what this
// thread reads next. Runs on the calling thread.
void attention(const KernelTable& k, const AttentionShape& shape, const QueryTile& tile,
               std::span<const KvBlockView> blocks, AttentionScratch& scratch) noexcept;

// The same in parts, for several threads. `state` becomes that of span `span`; `blocks` begin with
// the span's (at most 8), and one more is only asked for, as what this thread reads next. Then
// spans are folded into the first in order, and that one is finished.
void attention_span(const KernelTable& k, const AttentionShape& shape, const QueryTile& tile,
                    std::size_t span, std::span<const KvBlockView> blocks,
                    AttentionScratch& scratch, float* state) noexcept;
void attention_fold(const KernelTable& k, std::size_t head_dim, std::size_t rows, float* state,
                    const float* next) noexcept;
void attention_finish(const KernelTable& k, const AttentionShape& shape, const QueryTile& tile,
                      const float* state) noexcept;

}  // namespace tern::kernels
