// Splits a ternary product among threads, panels and chunks of tokens, and applies the scales.
#include "tern/kernels/ternary.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "tern/kernels/dense_panel.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

constexpr std::size_t kGemvRows = 64;     // Rows whose sums lie on the stack at a time.
constexpr std::size_t kCodeRows = 8;      // Rows of an unpacked panel...
constexpr std::size_t kCodeBlocks = 10;   // ... and its width in blocks: 20 KiB.
constexpr std::size_t kGemmTokens = 64;   // Tokens that meet a panel.
constexpr std::size_t kFieldBlocks = 16;  // Blocks whose field sums lie on the stack at a time.

// Sums modulo 2^32 that are known to fit: 128 * 2^24 is the largest.
std::int32_t difference(std::int32_t a, std::int32_t b) noexcept {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
}

// How the sums of a row and a token become one float: ternary.h's three rules.
struct Scaling {
  const TernaryMatrix& w;
  const Int8Rows& x;
  std::size_t groups;  // Sums per row: 1, or one per group of columns.
  std::size_t group_fields;

  Scaling(const TernaryMatrix& w_, const Int8Rows& x_) : w(w_), x(x_), groups(1) {
    const std::size_t fields = x.stride / kTernaryField;
    const std::size_t group = x.group != 0 ? x.group : w.group();
    if (group != 0) groups = (w.cols() + group - 1) / group;
    group_fields = group != 0 ? group / kTernaryField : fields;
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
  std::int32_t x_sum(std::size_t t, std::size_t first_field, std::size_t end_field) const noexcept {
    const std::int32_t* sums = x.sums.data() + t * (x.stride / kTernaryField);
    std::int32_t sum = 0;
    for (std::size_t f = first_field; f < end_field; ++f) sum += sums[f];
    return sum;
  }
  float whole(std::int32_t sum, std::size_t r, std::size_t t) const noexcept {
    return static_cast<float>(sum) * (w_scale(r, 0) * x.scales[t]);
  }
  // One more group of a running sum, and its end.
  float next(float s, std::int32_t sum, std::size_t r, std::size_t t,
             std::size_t g) const noexcept {
    const float scale = x.group != 0 ? w_scale(r, g) * x.scales[t * groups + g] : w_scale(r, g);
    return s + static_cast<float>(sum) * scale;
  }
  float last(float s, std::size_t t) const noexcept { return x.group != 0 ? s : s * x.scales[t]; }
};

// One token, rows [begin, end), one scale per row.
void gemv_rows(const KernelTable& k, const Scaling& s, std::size_t t, std::size_t begin,
               std::size_t end, float* y) {
  const std::int32_t x_sum = s.x_sum(t, 0, s.x.stride / kTernaryField);
  std::int32_t sums[kGemvRows];
  for (std::size_t r = begin; r < end; r += kGemvRows) {
    const std::size_t rows = std::min(kGemvRows, end - r);
    k.ternary_gemv(s.w.row(r), s.w.row_bytes(), rows, s.x.row(t), s.w.blocks(), sums);
    for (std::size_t i = 0; i < rows; ++i) {
      y[r + i] = s.whole(difference(sums[i], x_sum), r + i, t);
    }
  }
}

// One token, rows [begin, end), a scale per group: sums of fields first, then groups of them. A
// group may lie across the pieces of a row.
void gemv_grouped(const KernelTable& k, const Scaling& s, std::size_t t, std::size_t begin,
                  std::size_t end, float* y) {
  std::int32_t sums[4 * kFieldBlocks];
  const std::int32_t* x_sums = s.x.sums.data() + t * (s.x.stride / kTernaryField);
  for (std::size_t r = begin; r < end; ++r) {
    float total = 0;
    std::int32_t group_sum = 0;
    std::size_t g = 0, in_group = 0;
    for (std::size_t b = 0; b < s.w.blocks(); b += kFieldBlocks) {
      const std::size_t blocks = std::min(kFieldBlocks, s.w.blocks() - b);
      k.ternary_fields(s.w.row(r) + b * kTernaryBlockBytes, 0, 1, s.x.row(t) + b * kTernaryBlock,
                       blocks, sums);
      for (std::size_t f = 0; f < 4 * blocks && g < s.groups; ++f) {
        group_sum += sums[f] - x_sums[4 * b + f];
        if (++in_group < s.group_fields && 4 * b + f + 1 < 4 * s.w.blocks()) continue;
        total = s.next(total, group_sum, r, t, g++);
        group_sum = 0;
        in_group = 0;
      }
    }
    y[r] = s.last(total, t);
  }
}

// A panel of rows [r0, r0 + rows) against tokens [t0, t0 + tokens), one scale per row.
void gemm_panel(const KernelTable& k, const Scaling& s, std::size_t r0, std::size_t rows,
                std::size_t t0, std::size_t tokens, std::uint8_t* codes, float* y,
                std::size_t y_stride) {
  std::int32_t total[kGemmTokens * kCodeRows] = {};
  std::int32_t sums[kGemmTokens * kCodeRows];
  for (std::size_t b = 0; b < s.w.blocks(); b += kCodeBlocks) {
    const std::size_t blocks = std::min(kCodeBlocks, s.w.blocks() - b);
    const std::size_t width = blocks * kTernaryBlock;
    for (std::size_t i = 0; i < rows; ++i) {
      k.ternary_unpack(s.w.row(r0 + i) + b * kTernaryBlockBytes, blocks, codes + i * width);
    }
    k.codes_gemm(codes, width, rows, s.x.row(t0) + b * kTernaryBlock, s.x.stride, tokens, width,
                 sums, kCodeRows);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t i = 0; i < rows; ++i) {
        std::int32_t& sum = total[t * kCodeRows + i];
        sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(sum) +
                                        static_cast<std::uint32_t>(sums[t * kCodeRows + i]));
      }
    }
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::int32_t x_sum = s.x_sum(t0 + t, 0, s.x.stride / kTernaryField);
    for (std::size_t i = 0; i < rows; ++i) {
      y[(t0 + t) * y_stride + r0 + i] =
          s.whole(difference(total[t * kCodeRows + i], x_sum), r0 + i, t0 + t);
    }
  }
}

// One group of a panel: total[t][i] += float(group_sums[t][i]) * scale, and the sums start anew.
// Always kCodeRows rows, those past `rows` with scale 0, so that the loop is one vector.
void add_group(const Scaling& s, std::size_t r0, std::size_t rows, std::size_t t0,
               std::size_t tokens, std::size_t g, std::int32_t* group_sums, float* total) {
  float w_scales[kCodeRows] = {};
  for (std::size_t i = 0; i < rows; ++i) w_scales[i] = s.w_scale(r0 + i, g);
  for (std::size_t t = 0; t < tokens; ++t) {
    const float x_scale = s.x.group != 0 ? s.x.scales[(t0 + t) * s.groups + g] : 1.0f;  // Exact.
    for (std::size_t i = 0; i < kCodeRows; ++i) {
      const std::size_t at = t * kCodeRows + i;
      total[at] = total[at] + static_cast<float>(group_sums[at]) * (w_scales[i] * x_scale);
      group_sums[at] = 0;
    }
  }
}

// The same with a scale per group, group by group; a group wider than the panel is cut.
void gemm_panel_grouped(const KernelTable& k, const Scaling& s, std::size_t r0, std::size_t rows,
                        std::size_t t0, std::size_t tokens, std::uint8_t* codes, float* y,
                        std::size_t y_stride) {
  std::int32_t sums[kGemmTokens * kCodeRows] = {};
  std::int32_t group_sums[kGemmTokens * kCodeRows] = {};
  float total[kGemmTokens * kCodeRows] = {};
  const std::size_t fields = 4 * s.w.blocks();
  std::size_t g = 0, in_group = 0;
  for (std::size_t b = 0; b < s.w.blocks() && g < s.groups; b += kCodeBlocks) {
    const std::size_t blocks = std::min(kCodeBlocks, s.w.blocks() - b);
    const std::size_t width = blocks * kTernaryBlock;
    for (std::size_t i = 0; i < rows; ++i) {
      k.ternary_unpack(s.w.row(r0 + i) + b * kTernaryBlockBytes, blocks, codes + i * width);
    }
    for (std::size_t f = 0; f < 4 * blocks && g < s.groups;) {
      const std::size_t n = std::min(s.group_fields - in_group, 4 * blocks - f);
      const std::size_t field = 4 * b + f;
      k.codes_gemm(codes + f * kTernaryField, width, rows, s.x.row(t0) + field * kTernaryField,
                   s.x.stride, tokens, n * kTernaryField, sums, kCodeRows);
      f += n;
      in_group += n;
      const bool complete = in_group == s.group_fields || 4 * b + f == fields;
      for (std::size_t t = 0; t < tokens; ++t) {
        const std::int32_t x_sum = s.x_sum(t0 + t, field, field + n);
        for (std::size_t i = 0; i < kCodeRows; ++i) {
          group_sums[t * kCodeRows + i] += difference(sums[t * kCodeRows + i], x_sum);
        }
      }
      if (complete) {
        add_group(s, r0, rows, t0, tokens, g, group_sums, total);
        ++g;
        in_group = 0;
      }
    }
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t i = 0; i < rows; ++i) {
      y[(t0 + t) * y_stride + r0 + i] = s.last(total[t * kCodeRows + i], t0 + t);
    }
  }
}

// Columns [c, c + n) of row r as floats. Whole fields go straight to `out`, a last part by way of
// the stack. c is a multiple of kTernaryField.
void expand_row(const KernelTable& k, const TernaryMatrix& w, std::size_t r, std::size_t c,
                std::size_t n, float* out) {
  const std::size_t group = w.scale_kind() == ScaleKind::kGroup ? w.group() : w.padded_cols();
  const std::size_t end = c + n;
  while (c < end) {
    const float scale = w.scale(r, c);
    const std::size_t stop = std::min(end, (c / group + 1) * group);
    const std::size_t fields = (stop - c) / kTernaryField;
    k.ternary_expand(w.row(r), c / kTernaryField, fields, scale, out);
    c += fields * kTernaryField;
    out += fields * kTernaryField;
    if (c < stop) {
      float last[kTernaryField];
      k.ternary_expand(w.row(r), c / kTernaryField, 1, scale, last);
      std::memcpy(out, last, (stop - c) * sizeof(float));
      out += stop - c;
      c = stop;
    }
  }
}

}  // namespace

void ternary_matmul(const KernelTable& k, const TernaryMatrix& w, const Int8Rows& x, float* y,
                    std::size_t y_stride, ThreadPool& pool) {
  assert(x.cols == w.cols() && (x.group == 0 || x.group == w.group()));
  const Scaling scaling(w, x);
  if (x.tokens <= kFewTokens) {
    pool.parallel_for(w.rows(), kCodeRows, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; r += kGemvRows) {
        const std::size_t stop = std::min(r + kGemvRows, end);
        for (std::size_t t = 0; t < x.tokens; ++t) {
          (scaling.grouped() ? gemv_grouped : gemv_rows)(k, scaling, t, r, stop, y + t * y_stride);
        }
      }
    });
    return;
  }
  pool.parallel_for(w.rows(), kCodeRows, [&](std::size_t begin, std::size_t end) {
    alignas(64) std::uint8_t codes[kCodeRows * kCodeBlocks * kTernaryBlock];
    for (std::size_t t = 0; t < x.tokens; t += kGemmTokens) {
      const std::size_t tokens = std::min(kGemmTokens, x.tokens - t);
      for (std::size_t r = begin; r < end; r += kCodeRows) {
        const std::size_t rows = std::min(kCodeRows, end - r);
        (scaling.grouped() ? gemm_panel_grouped : gemm_panel)(k, scaling, r, rows, t, tokens, codes,
                                                              y, y_stride);
      }
    }
  });
}

void ternary_matmul_float(const KernelTable& k, const TernaryMatrix& w, const float* x,
                          std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride,
                          ThreadPool& pool) {
  panel_matmul(k, w.rows(), w.cols(), x, x_stride, tokens, y, y_stride, pool,
               [&](std::size_t r, std::size_t c, std::size_t n, float* out) {
                 expand_row(k, w, r, c, n, out);
               });
}

void ternary_row(const KernelTable& k, const TernaryMatrix& w, std::size_t r, float* out) {
  expand_row(k, w, r, 0, w.cols(), out);
}

}  // namespace tern::kernels
