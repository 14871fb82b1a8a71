// Splits a ternary product among threads, panels and chunks of tokens, and applies the scales.
#include "tern/kernels/ternary.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "tern/kernels/dense_panel.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

constexpr std::size_t kGemvTiles = 16;  // Whose sums lie on the stack at a time.
constexpr std::size_t kStackGroups = 64;
constexpr std::size_t kPanelHeight = kPanelTiles * kTernaryTileRows;
constexpr std::size_t kPanelSteps = 320;   // Width of an unpacked panel: 1280 columns, 80 KiB.
constexpr std::size_t kPanelTokens = 256;  // Whose sums lie on the stack: 64 KiB.
static_assert(kPanelSteps % 4 == 0 && kPanelSteps % 5 == 0);  // Whole blocks of both layouts.

// Sums modulo 2^32 that are known to fit: 128 * 2^24 is the largest.
std::int32_t difference(std::int32_t a, std::int32_t b) noexcept {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
}

// How the sums of a row and a token become one float: ternary.h's three rules.
struct Scaling {
  const TernaryMatrix& w;
  const Int8Rows& x;
  std::size_t groups;  // Sums per row: 1, or one per group of columns.
  std::size_t group_cols;

  Scaling(const TernaryMatrix& w_, const Int8Rows& x_) : w(w_), x(x_), groups(1) {
    const std::size_t group = x.group != 0 ? x.group : w.group();
    if (group != 0) groups = (w.cols() + group - 1) / group;
    group_cols = group != 0 ? group : w.cols();
  }
  bool grouped() const noexcept { return x.group != 0 || w.scale_kind() == ScaleKind::kGroup; }
  float w_scale(std::size_t r, std::size_t g) const noexcept {
    switch (w.scale_kind()) {
      case ScaleKind::kTensor:
        return w.scales()[0];
      case ScaleKind::kRow:
        return w.scales()[r];
      case ScaleKind::kGroup:
        break;
    }
    return w.scales()[r * groups + g];
  }
  // Of x over the columns [begin, end), which are whole fields or end with the row.
  std::int32_t x_sum(std::size_t t, std::size_t begin, std::size_t end) const noexcept {
    const std::int32_t* sums = x.sums.data() + t * (x.stride / kTernaryField);
    std::int32_t sum = 0;
    for (std::size_t f = begin / kTernaryField; f * kTernaryField < end; ++f) sum += sums[f];
    return sum;
  }

  // y[i] of rows r .. r + rows - 1 from whole sums.
  void whole(const std::int32_t* sums, std::int32_t x_total, std::size_t r, std::size_t rows,
             std::size_t t, float* y) const noexcept {
    const float x_scale = x.scales[t];
    if (w.scale_kind() == ScaleKind::kTensor) {
      const float scale = w.scales()[0] * x_scale;
      for (std::size_t i = 0; i < rows; ++i) {
        y[i] = static_cast<float>(difference(sums[i], x_total)) * scale;
      }
    } else {
      const float* scales = w.scales().data() + r;
      for (std::size_t i = 0; i < rows; ++i) {
        y[i] = static_cast<float>(difference(sums[i], x_total)) * (scales[i] * x_scale);
      }
    }
  }
  // total[i] += float(group's sum) * scale, for one more group.
  void add_group(const std::int32_t* sums, std::int32_t x_total, std::size_t r, std::size_t rows,
                 std::size_t t, std::size_t g, float* total) const noexcept {
    for (std::size_t i = 0; i < rows; ++i) {
      const float scale =
          x.group != 0 ? w_scale(r + i, g) * x.scales[t * groups + g] : w_scale(r + i, g);
      total[i] = total[i] + static_cast<float>(difference(sums[i], x_total)) * scale;
    }
  }
  float last(float total, std::size_t t) const noexcept {
    return x.group != 0 ? total : total * x.scales[t];
  }
};

std::size_t layout_index(const TernaryMatrix& w) noexcept {
  return static_cast<std::size_t>(w.layout());
}

// Few tokens, tiles [begin, end): packed weights meet kGemvTokens of them as they are read, and the
// next ones while they lie in the second cache.
void gemv_tiles(const KernelTable& k, const Scaling& s, std::size_t begin, std::size_t end,
                float* y, std::size_t y_stride) {
  std::int32_t sums[kGemvTiles * kGemvTokens * kTernaryTileRows];
  const std::size_t parts = (s.x.tokens + kGemvTokens - 1) / kGemvTokens;
  for (std::size_t i = begin; i < end; i += kGemvTiles) {
    const std::size_t tiles = std::min(kGemvTiles, end - i);
    for (std::size_t part = 0; part < parts; ++part) {
      const std::size_t first = s.x.tokens * part / parts;
      const std::size_t tokens = s.x.tokens * (part + 1) / parts - first;
      k.ternary_gemv[layout_index(s.w)](s.w.tile(i), tiles, s.w.blocks(), s.x.row(first),
                                        s.x.stride, tokens, sums);
      for (std::size_t t = 0; t < tokens; ++t) {
        const std::int32_t x_total = s.x_sum(first + t, 0, s.w.cols());
        for (std::size_t j = 0; j < tiles; ++j) {
          const std::size_t r = (i + j) * kTernaryTileRows;
          s.whole(sums + (j * tokens + t) * kTernaryTileRows, x_total, r,
                  std::min(kTernaryTileRows, s.w.rows() - r), first + t,
                  y + (first + t) * y_stride + r);
        }
      }
    }
  }
}

// The same with a scale per group.
void gemv_tiles_grouped(const KernelTable& k, const Scaling& s, std::size_t begin, std::size_t end,
                        float* y, std::size_t y_stride) {
  const std::size_t width = ternary_block_cols(TernaryLayout::kFourPerByte);
  const std::size_t group_blocks = s.group_cols / width;
  std::int32_t sums[kStackGroups * kTernaryTileRows];
  for (std::size_t i = begin; i < end; ++i) {
    const std::size_t r = i * kTernaryTileRows;
    const std::size_t rows = std::min(kTernaryTileRows, s.w.rows() - r);
    for (std::size_t t = 0; t < s.x.tokens; ++t) {
      float total[kTernaryTileRows] = {};
      for (std::size_t g = 0; g < s.groups; g += kStackGroups) {
        const std::size_t groups = std::min(kStackGroups, s.groups - g);
        const std::size_t first = g * group_blocks;
        const std::size_t blocks = std::min(groups * group_blocks, s.w.blocks() - first);
        k.ternary_groups(s.w.tile(i) + first * kTernaryBlockBytes, blocks, group_blocks,
                         s.x.row(t) + first * width, sums);
        for (std::size_t j = 0; j < groups; ++j) {
          const std::size_t col = (g + j) * s.group_cols;
          s.add_group(sums + j * kTernaryTileRows,
                      s.x_sum(t, col, std::min(col + s.group_cols, s.w.cols())), r, rows, t, g + j,
                      total);
        }
      }
      for (std::size_t j = 0; j < rows; ++j) y[t * y_stride + r + j] = s.last(total[j], t);
    }
  }
}

// Some tiles of a matrix and some tokens, whose sums are kept over the pieces of the columns.
struct Panel {
  const KernelTable& k;
  const Scaling& s;
  std::size_t tile, tiles;    // Rows.
  std::size_t token, tokens;  // Of x.
  alignas(64) std::uint8_t codes[kPanelTiles * kPanelSteps * kTernaryBlockBytes];
  alignas(64) std::int32_t sums[kPanelTokens * kPanelHeight];

  Panel(const KernelTable& k_, const Scaling& s_) noexcept : k(k_), s(s_) {}

  void clear() noexcept { std::fill_n(sums, tokens * kPanelHeight, 0); }
  std::size_t first_row() const noexcept { return tile * kTernaryTileRows; }
  std::size_t rows() const noexcept {
    return std::min(tiles * kTernaryTileRows, s.w.rows() - first_row());
  }
  // Adds the products of blocks [begin, end) to the sums.
  void add_blocks(std::size_t begin, std::size_t end) noexcept {
    const std::size_t fields = ternary_fields(s.w.layout());
    const std::size_t most = kPanelSteps / fields;
    for (std::size_t b = begin; b < end; b += most) {
      const std::size_t blocks = std::min(most, end - b);
      for (std::size_t i = 0; i < tiles; ++i) {
        k.ternary_unpack[layout_index(s.w)](s.w.tile(tile + i) + b * kTernaryBlockBytes, blocks,
                                            codes + i * kTernaryBlockBytes,
                                            tiles * kTernaryBlockBytes);
      }
      k.codes_gemm(codes, tiles, blocks * fields, s.x.row(token) + 4 * b * fields, s.x.stride,
                   tokens, sums, kPanelHeight);
    }
  }
};

void gemm_panel(Panel& p, float* y, std::size_t y_stride) {
  const Scaling& s = p.s;
  p.clear();
  p.add_blocks(0, s.w.blocks());
  for (std::size_t t = 0; t < p.tokens; ++t) {
    s.whole(p.sums + t * kPanelHeight, s.x_sum(p.token + t, 0, s.w.cols()), p.first_row(), p.rows(),
            p.token + t, y + (p.token + t) * y_stride + p.first_row());
  }
}

void gemm_panel_grouped(Panel& p, float* y, std::size_t y_stride) {
  const Scaling& s = p.s;
  const std::size_t group_blocks = s.group_cols / ternary_block_cols(TernaryLayout::kFourPerByte);
  alignas(64) float totals[kPanelTokens * kPanelHeight];
  std::fill_n(totals, p.tokens * kPanelHeight, 0.0f);
  for (std::size_t g = 0; g < s.groups; ++g) {
    p.clear();
    p.add_blocks(g * group_blocks, std::min((g + 1) * group_blocks, s.w.blocks()));
    const std::size_t col = g * s.group_cols;
    for (std::size_t t = 0; t < p.tokens; ++t) {
      s.add_group(p.sums + t * kPanelHeight,
                  s.x_sum(p.token + t, col, std::min(col + s.group_cols, s.w.cols())),
                  p.first_row(), p.rows(), p.token + t, g, totals + t * kPanelHeight);
    }
  }
  for (std::size_t t = 0; t < p.tokens; ++t) {
    float* out = y + (p.token + t) * y_stride + p.first_row();
    for (std::size_t i = 0; i < p.rows(); ++i) {
      out[i] = s.last(totals[t * kPanelHeight + i], p.token + t);
    }
  }
}

// Many tokens, tiles [begin, end): panels of codes are unpacked once and meet them all.
void gemm_tiles(const KernelTable& k, const Scaling& s, std::size_t begin, std::size_t end,
                float* y, std::size_t y_stride) {
  Panel panel(k, s);
  for (panel.token = 0; panel.token < s.x.tokens; panel.token += kPanelTokens) {
    panel.tokens = std::min(kPanelTokens, s.x.tokens - panel.token);
    for (panel.tile = begin; panel.tile < end; panel.tile += kPanelTiles) {
      panel.tiles = std::min(kPanelTiles, end - panel.tile);
      (s.grouped() ? gemm_panel_grouped : gemm_panel)(panel, y, y_stride);
    }
  }
}

// Columns [c, c + n) of row r as floats.
void expand_row(const TernaryMatrix& w, std::size_t r, std::size_t c, std::size_t n, float* out) {
  std::array<std::int8_t, 256> digits;
  while (n > 0) {
    const std::size_t group_end =
        w.scale_kind() == ScaleKind::kGroup ? (c / w.group() + 1) * w.group() : w.cols();
    const std::size_t count = std::min({n, digits.size(), group_end - c});
    w.get_digits(r, c, std::span(digits).first(count));
    const float scale = w.scale(r, c);
    for (std::size_t i = 0; i < count; ++i) *out++ = static_cast<float>(digits[i]) * scale;
    c += count;
    n -= count;
  }
}

}  // namespace

void ternary_matmul(const KernelTable& k, const TernaryMatrix& w, const Int8Rows& x, float* y,
                    std::size_t y_stride, ThreadPool& pool) {
  const TernaryProduct product{&w, y, y_stride};
  ternary_matmul(k, {&product, 1}, x, pool);
}

void ternary_matmul(const KernelTable& k, std::span<const TernaryProduct> products,
                    const Int8Rows& x, ThreadPool& pool) {
  std::size_t tiles = 0;
  for (const TernaryProduct& p : products) tiles += p.w->tiles();
  pool.parallel_for(tiles, 1, [&](std::size_t begin, std::size_t end) {
    std::size_t first = 0;  // Tile of this product, counted through all of them.
    for (const TernaryProduct& p : products) {
      const TernaryMatrix& w = *p.w;
      assert(x.cols == w.cols() && (x.group == 0 || x.group == w.group()));
      assert(k.ternary_gemv[layout_index(w)] != nullptr);
      const std::size_t from = std::max(begin, first), to = std::min(end, first + w.tiles());
      if (from < to) {
        const Scaling scaling(w, x);
        const bool grouped = scaling.grouped();
        const auto few = grouped ? gemv_tiles_grouped : gemv_tiles;
        const std::size_t most = grouped ? kGemvTokens : k.packed_tokens;
        (x.tokens <= most ? few : gemm_tiles)(k, scaling, from - first, to - first, p.y,
                                              p.y_stride);
      }
      first += w.tiles();
    }
  });
}

void ternary_matmul_float(const KernelTable& k, const TernaryMatrix& w, const float* x,
                          std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride,
                          ThreadPool& pool) {
  panel_matmul(k, w.rows(), w.cols(), x, x_stride, tokens, y, y_stride, pool,
               [&](std::size_t r, std::size_t c, std::size_t n, float* out) {
                 expand_row(w, r, c, n, out);
               });
}

void ternary_row(const TernaryMatrix& w, std::size_t r, float* out) {
  expand_row(w, r, 0, w.cols(), out);
}

}  // namespace tern::kernels
