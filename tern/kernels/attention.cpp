// Attention tile by tile, block by block; the arithmetic is in the tables.
#include "tern/kernels/attention.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "tern/kernels/kernel_table.h"
#include "tern/tensor/half.h"

namespace tern::kernels {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kScaleBytes = kKvBlock * 2;
constexpr float kMostF16 = 65504.0f;

const std::uint8_t* bytes_of(const std::byte* p) noexcept {
  return reinterpret_cast<const std::uint8_t*>(p);
}

std::size_t round_up(std::size_t n, std::size_t unit) noexcept {
  return (n + unit - 1) / unit * unit;
}

bool has_scales(KvType type) noexcept { return type == KvType::kInt8 || type == KvType::kInt4; }

// Bytes of the numbers, before the scales.
std::size_t key_code_bytes(KvType type, std::size_t head_dim) noexcept {
  constexpr std::size_t kBytes[kKvTypes] = {4 * kKvBlock, 2 * kKvBlock, kKvBlock, kKvBlock / 2};
  return round_up(head_dim * kBytes[static_cast<std::size_t>(type)], kLine);
}
// Of one position in a panel of values that begins at dimension `first`.
std::size_t value_row_bytes(KvType type, std::size_t head_dim, std::size_t first) noexcept {
  const std::size_t width = std::min(kValuePanel, kv_width(head_dim) - first);
  if (type == KvType::kInt4) return round_up(width, 32) / 2;
  return width * (type == KvType::kF32 ? 4 : type == KvType::kF16 ? 2 : 1);
}
std::size_t value_code_bytes(KvType type, std::size_t head_dim) noexcept {
  std::size_t bytes = 0;
  for (std::size_t d = 0; d < head_dim; d += kValuePanel) {
    bytes += kKvBlock * value_row_bytes(type, head_dim, d);
  }
  return bytes;
}

// Row r's share of `count` rows in panels of at most kAttendRows, as even as can be.
std::size_t panels_of(std::size_t rows) noexcept { return (rows + kAttendRows - 1) / kAttendRows; }
std::size_t panel_begin(std::size_t rows, std::size_t panel) noexcept {
  return rows * panel / panels_of(rows);
}

// max, length and sum of a state (attention_state_floats).
template <typename Float>
struct State {
  Float *max, *length, *sum;
  State(Float* at, std::size_t rows) noexcept
      : max(at), length(at + round_up(rows, 16)), sum(at + 2 * round_up(rows, 16)) {}
};

// A number's codes and their scale. `codes` has room for head_dim.
std::uint16_t quantize_head(const KernelTable& k, KvType type, const float* x, std::size_t head_dim,
                            std::int8_t* codes) noexcept {
  const int most = type == KvType::kInt8 ? 127 : 7;
  const float wanted = k.absmax(x, head_dim) / static_cast<float>(most);
  std::uint16_t scale = float_to_f16(std::min(wanted, kMostF16));
  if (f16_to_float(scale) < wanted && wanted <= kMostF16) ++scale;  // The next larger one.
  if (scale == 0) {
    std::fill_n(codes, head_dim, std::int8_t{0});
    return scale;
  }
  k.quantize(x, head_dim, 1.0f / f16_to_float(scale), codes);
  for (std::size_t d = 0; d < head_dim; ++d) {
    codes[d] = static_cast<std::int8_t>(std::clamp<int>(codes[d], -most, most));
  }
  return scale;
}

// The largest f16 in place of an infinity.
void to_f16_clamped(const KernelTable& k, const float* x, std::size_t n,
                    std::uint16_t* out) noexcept {
  constexpr std::uint16_t kSize = 0x7fff, kInfinity = 0x7c00;
  k.to_f16(x, n, reinterpret_cast<std::uint8_t*>(out));
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = static_cast<std::uint16_t>(out[i] - ((out[i] & kSize) == kInfinity ? 1 : 0));
  }
}

void put_nibble(std::byte& byte, bool high, int code) noexcept {
  const auto nibble = static_cast<std::byte>(code + 8);
  byte = high ? (byte & std::byte{15}) | (nibble << 4) : (byte & std::byte{0xf0}) | nibble;
}

// What a panel of rows of a tile sees of a block.
struct Seen {
  std::size_t counts[kAttendRows];
  std::size_t most = 0;

  Seen(const QueryTile& tile, std::size_t first_row, std::size_t rows, std::size_t base) noexcept {
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t position = tile.position + (first_row + r) / tile.group;
      counts[r] = std::min(kKvBlock, position + 1 - base);
      most = std::max(most, counts[r]);
    }
  }
};

// Panel after panel, by dimension within a panel: what keys_dot reads.
void pack_queries(const QueryTile& tile, std::size_t head_dim, float* packed) noexcept {
  const std::size_t rows = tile.rows();
  for (std::size_t panel = 0; panel < panels_of(rows); ++panel) {
    const std::size_t begin = panel_begin(rows, panel), n = panel_begin(rows, panel + 1) - begin;
    const float* from[kAttendRows];
    for (std::size_t r = 0; r < n; ++r) {
      const std::size_t row = begin + r;
      from[r] = tile.q + row / tile.group * tile.stride + row % tile.group * head_dim;
    }
    float* out = packed + begin * head_dim;
    for (std::size_t d = 0; d < head_dim; ++d) {
      for (std::size_t r = 0; r < n; ++r) *out++ = from[r][d];
    }
  }
}

// The blocks of span `span`, which `blocks` begins with; one that follows is asked for.
void span_of_packed(const KernelTable& k, const AttentionShape& shape, const QueryTile& tile,
                    std::size_t span, std::span<const KvBlockView> blocks, const float* packed,
                    float* scores, float* state_floats) noexcept {
  const auto keys_dot = k.keys_dot[static_cast<std::size_t>(shape.k_type)];
  const auto values_sum = k.values_sum[static_cast<std::size_t>(shape.v_type)];
  const std::size_t key_bytes = key_code_bytes(shape.k_type, shape.head_dim);
  const std::size_t value_bytes = value_code_bytes(shape.v_type, shape.head_dim);
  const std::size_t rows = tile.rows(), width = kv_width(shape.head_dim);
  const State state(state_floats, rows);
  const std::size_t count = std::min(kSpanBlocks, tile.blocks() - span * kSpanBlocks);
  std::size_t base = span * kKvSpan;
  for (std::size_t b = 0; b < count; ++b, base += kKvBlock) {
    const std::uint8_t* keys = bytes_of(blocks[b].keys);
    const std::uint8_t* values = bytes_of(blocks[b].values);
    const std::uint8_t* key_scales = has_scales(shape.k_type) ? keys + key_bytes : nullptr;
    const std::uint8_t* value_scales = has_scales(shape.v_type) ? values + value_bytes : nullptr;
    for (std::size_t panel = 0; panel < panels_of(rows); ++panel) {
      const std::size_t begin = panel_begin(rows, panel);
      const std::size_t n = panel_begin(rows, panel + 1) - begin;
      const Seen seen(tile, begin, n, base);
      // The first panel asks for what comes next: these values, then the next block's keys.
      Ahead to_values{values, 0}, to_keys{nullptr, 0};
      if (panel == 0) {
        to_values.lines = value_bytes / kLine;
        if (b + 1 < blocks.size()) to_keys = {bytes_of(blocks[b + 1].keys), key_bytes / kLine};
      }
      keys_dot(keys, shape.head_dim, (seen.most + 15) / 16, packed + begin * shape.head_dim, n,
               scores, to_values);
      float max[kAttendRows], length[kAttendRows], fa[kAttendRows], fb[kAttendRows];
      k.softmax_rows(scores, n, seen.counts, shape.scale, key_scales, value_scales,
                     b == 0 ? state.max + begin : max, b == 0 ? state.length + begin : length);
      if (b > 0) k.fold_rows(state.max + begin, state.length + begin, max, length, n, fa, fb);
      values_sum(scores, n, seen.most, values, width, b == 0 ? nullptr : fa, fb,
                 state.sum + begin * width, to_keys);
    }
  }
}

}  // namespace

std::size_t kv_key_bytes(KvType type, std::size_t head_dim) noexcept {
  return key_code_bytes(type, head_dim) + (has_scales(type) ? kScaleBytes : 0);
}

std::size_t kv_value_bytes(KvType type, std::size_t head_dim) noexcept {
  return value_code_bytes(type, head_dim) + (has_scales(type) ? kScaleBytes : 0);
}

void kv_store_key(const KernelTable& k, KvType type, const float* x, std::size_t head_dim,
                  std::byte* block, std::size_t slot) noexcept {
  assert(head_dim <= kMaxHeadDim && slot < kKvBlock);
  if (type == KvType::kF32) {
    for (std::size_t d = 0; d < head_dim; ++d) {
      std::memcpy(block + (d * kKvBlock + slot) * 4, x + d, 4);
    }
    return;
  }
  if (type == KvType::kF16) {
    std::uint16_t halves[kMaxHeadDim];
    to_f16_clamped(k, x, head_dim, halves);
    for (std::size_t d = 0; d < head_dim; ++d) {
      std::memcpy(block + (d * kKvBlock + slot) * 2, halves + d, 2);
    }
    return;
  }
  std::int8_t codes[kMaxHeadDim];
  const std::uint16_t scale = quantize_head(k, type, x, head_dim, codes);
  std::memcpy(block + key_code_bytes(type, head_dim) + 2 * slot, &scale, 2);
  for (std::size_t d = 0; d < head_dim; ++d) {
    if (type == KvType::kInt8) {
      block[d * kKvBlock + slot] = static_cast<std::byte>(codes[d]);
    } else {
      constexpr std::size_t kHalf = kKvBlock / 2;
      put_nibble(block[d * kHalf + slot % kHalf], slot >= kHalf, codes[d]);
    }
  }
}

void kv_store_value(const KernelTable& k, KvType type, const float* x, std::size_t head_dim,
                    std::byte* block, std::size_t slot) noexcept {
  assert(head_dim <= kMaxHeadDim && slot < kKvBlock);
  alignas(std::uint16_t) std::int8_t codes[2 * kMaxHeadDim];
  std::uint16_t scale = 0;
  if (type == KvType::kF16) {
    to_f16_clamped(k, x, head_dim, reinterpret_cast<std::uint16_t*>(codes));
  } else if (type != KvType::kF32) {
    scale = quantize_head(k, type, x, head_dim, codes);
  }
  std::byte* panel = block;
  for (std::size_t first = 0; first < head_dim; first += kValuePanel) {
    const std::size_t n = std::min(kValuePanel, head_dim - first);
    const std::size_t row_bytes = value_row_bytes(type, head_dim, first);
    std::byte* row = panel + slot * row_bytes;
    panel += kKvBlock * row_bytes;
    if (type == KvType::kF32) {
      std::memcpy(row, x + first, 4 * n);
    } else if (type == KvType::kF16) {
      std::memcpy(row, codes + 2 * first, 2 * n);
    } else if (type == KvType::kInt8) {
      std::memcpy(row, codes + first, n);
    } else {
      for (std::size_t d = 0; d < n; ++d) {
        put_nibble(row[d / 32 * 16 + d % 16], d % 32 >= 16, codes[first + d]);
      }
    }
  }
  if (has_scales(type)) std::memcpy(panel + 2 * slot, &scale, 2);
}

std::size_t attention_state_floats(std::size_t rows, std::size_t head_dim) noexcept {
  return 2 * round_up(rows, 16) + rows * kv_width(head_dim);
}

AttentionScratch::AttentionScratch(std::size_t rows, std::size_t head_dim)
    : packed_(rows * head_dim * sizeof(float)),
      scores_(kAttendRows * kKvBlock * sizeof(float)),
      state_(attention_state_floats(rows, head_dim) * sizeof(float)),
      part_(state_.size()) {}

void attention(const KernelTable& k, const AttentionShape& shape, const QueryTile& tile,
               std::span<const KvBlockView> blocks, AttentionScratch& scratch) noexcept {
  assert(shape.head_dim <= kMaxHeadDim && blocks.size() >= tile.blocks());
  float* packed = scratch.packed_.as<float>().data();
  float* scores = scratch.scores_.as<float>().data();
  float* state = scratch.state_.as<float>().data();
  float* part = scratch.part_.as<float>().data();
  pack_queries(tile, shape.head_dim, packed);
  for (std::size_t span = 0; span < tile.spans(); ++span) {
    span_of_packed(k, shape, tile, span, blocks.subspan(span * kSpanBlocks), packed, scores,
                   span == 0 ? state : part);
    if (span > 0) attention_fold(k, shape.head_dim, tile.rows(), state, part);
  }
  attention_finish(k, shape, tile, state);
}

void attention_span(const KernelTable& k, const AttentionShape& shape, const QueryTile& tile,
                    std::size_t span, std::span<const KvBlockView> blocks,
                    AttentionScratch& scratch, float* state) noexcept {
  assert(shape.head_dim <= kMaxHeadDim && !blocks.empty());
  float* packed = scratch.packed_.as<float>().data();
  pack_queries(tile, shape.head_dim, packed);
  span_of_packed(k, shape, tile, span, blocks, packed, scratch.scores_.as<float>().data(), state);
}

void attention_fold(const KernelTable& k, std::size_t head_dim, std::size_t rows, float* state,
                    const float* next) noexcept {
  const State a(state, rows);
  const State b(next, rows);
  const std::size_t width = kv_width(head_dim);
  for (std::size_t r = 0; r < rows; ++r) {
    float fa, fb;
    k.fold_rows(a.max + r, a.length + r, b.max + r, b.length + r, 1, &fa, &fb);
    k.merge(a.sum + r * width, fa, b.sum + r * width, fb, width);
  }
}

void attention_finish(const KernelTable& k, const AttentionShape& shape, const QueryTile& tile,
                      const float* state) noexcept {
  const State s(state, tile.rows());
  const std::size_t width = kv_width(shape.head_dim);
  for (std::size_t r = 0; r < tile.rows(); ++r) {
    float* out = tile.out + r / tile.group * tile.stride + r % tile.group * shape.head_dim;
    k.divide(s.sum + r * width, s.length[r], shape.head_dim, out);
  }
}

}  // namespace tern::kernels
