// Makes the int8 form of hidden states and their bounds, and splits screens among threads.
#include "tern/kernels/sliced.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "tern/kernels/dense_panel.h"
#include "tern/kernels/float_math.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

constexpr double kUnit = 0x1p-24;  // Half a unit in the last place of a float.
constexpr double kLeast = 0x1p-100;
constexpr double kLargest = 0x1p60;  // Of |h| and of N: products of both stay finite.
constexpr float kSmallestScaled = 0x1p-100f;
constexpr int kToL2 = 2;  // The locality of __builtin_prefetch: more lines can be on their way.
constexpr std::size_t kManyRows = 8;  // Of a panel of screen_many: 20 KiB for 2560 columns.

// Higham's gamma: the relative error of a sum whose terms pass at most n roundings.
double gamma(std::size_t n) noexcept {
  const double nu = static_cast<double>(n) * kUnit;
  return nu / (1 - nu);
}

// A float that is at least x after three more roundings downwards.
float above(double x) noexcept { return static_cast<float>(x * (1 + 0x1p-20)); }

struct Norms {
  float residual, all;
};
Norms norms_of(const SlicedMatrix& w, std::size_t r) noexcept {
  Norms n;
  std::memcpy(&n, w.record(r), sizeof(n));
  return n;
}

// 16 columns to int8. Returns the scale, 0 where they are too small for one.
float quantize_group(const float* h, std::int8_t* digits) noexcept {
  float max = 0;
  for (std::size_t i = 0; i < 16; ++i) max = std::max(max, std::fabs(h[i]));
  if (max < kSmallestScaled) {
    std::fill_n(digits, 16, std::int8_t{0});
    return 0;
  }
  const float inverse = 127.0f / max;
  for (std::size_t i = 0; i < 16; ++i) {
    const auto bits = std::bit_cast<std::int32_t>(h[i] * inverse + kRoundMagic);
    digits[i] = static_cast<std::int8_t>(std::clamp(bits - kRoundMagicBits, -127, 127));
  }
  return max / 127.0f;
}

}  // namespace

void ScreenInput::resize(std::size_t tokens, std::size_t blocks) {
  if (tokens == inputs_.size() && blocks == blocks_) return;
  blocks_ = blocks;
  const std::size_t groups = kSlicedGroups * blocks;
  digits_ = AlignedBuffer(tokens * kSlicedBlock * blocks);
  sums_ = AlignedBuffer(tokens * groups * sizeof(std::int32_t));
  scales_ = AlignedBuffer(tokens * groups * sizeof(float));
  inputs_.assign(tokens, {});
  fine_.assign(tokens, 0);
  for (std::size_t t = 0; t < tokens; ++t) {
    inputs_[t].digits = digits_.as<std::int8_t>().data() + t * kSlicedBlock * blocks;
    inputs_[t].sums = sums_.as<std::int32_t>().data() + t * groups;
    inputs_[t].scales = scales_.as<float>().data() + t * groups;
  }
}

bool ScreenInput::set(std::size_t t, const float* h, const SlicedMatrix& w) {
  auto* digits = digits_.as<std::int8_t>().data() + t * kSlicedBlock * blocks_;
  auto* sums = sums_.as<std::int32_t>().data() + t * kSlicedGroups * blocks_;
  auto* scales = scales_.as<float>().data() + t * kSlicedGroups * blocks_;
  double squares = 0, lost = 0;  // Of |h| and |h - g|.
  for (std::size_t i = 0; i < kSlicedBlock * blocks_; ++i) {
    squares += static_cast<double>(h[i]) * static_cast<double>(h[i]);
  }
  if (!(squares < kLargest * kLargest) || static_cast<double>(w.largest_norm()) > kLargest) {
    return false;
  }
  for (std::size_t group = 0; group < kSlicedGroups * blocks_; ++group, h += 16) {
    std::int8_t q[16];
    scales[group] = quantize_group(h, q);
    sums[group] = 0;
    for (std::size_t i = 0; i < 16; ++i) {
      const double error = static_cast<double>(h[i]) - static_cast<double>(scales[group]) * q[i];
      lost += error * error;
      sums[group] += q[i];
    }
    std::int8_t* block = digits + group / kSlicedGroups * kSlicedBlock;
    for (std::size_t j = 0; j < 4; ++j) {
      std::memcpy(block + 64 * j + 4 * (group % kSlicedGroups), q + 4 * j, 4);
    }
  }
  // The sums of squares were rounded in each step, up or down.
  const double h_length = std::sqrt(squares) * (1 + 0x1p-30);
  const double lost_length = std::sqrt(lost) * (1 + 0x1p-30);
  const double both = h_length + lost_length;
  const double of_logit = gamma(kSlicedBlock * blocks_ / 16 + 5) * h_length;
  const double of_sum = gamma(blocks_ + 8) * both;
  SlicedInput& x = inputs_[t];
  x.residual = above(h_length);
  x.norm = above(lost_length + of_logit + of_sum + 0x1p-22 * both);
  x.least = above(kLeast);
  // The low part's own sum, and a bound added, taken off and added again.
  fine_[t] = above(lost_length + of_logit + 2 * of_sum + 0x1p-19 * both);
  return true;
}

void screen(const KernelTable& k, const SlicedMatrix& w, const SlicedInput& x, float* upper,
            float* panel_max, ThreadPool& pool) {
  pool.parallel_for(w.rows(), kScreenPanel, [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; r += kScreenPanel) {
      const std::size_t rows = std::min(kScreenPanel, end - r);
      k.sliced->screen(w.record(r), w.record_bytes(), rows, w.blocks(), x, upper + r);
      panel_max[r / kScreenPanel] = *std::max_element(upper + r, upper + r + rows);
    }
  });
}

float closer_bound(const KernelTable& k, const SlicedMatrix& w, const ScreenInput& x, std::size_t t,
                   std::size_t r, float upper) noexcept {
  const Norms n = norms_of(w, r);
  const SlicedInput& input = x[t];
  const float bound = n.residual * input.residual + (n.all * input.norm + input.least);
  const float low = k.sliced->low_part(w.record(r), w.low(r), w.blocks(), input);
  return ((upper - bound) + low) + (n.all * x.fine(t) + input.least);
}

std::size_t closer_bound_bytes(const SlicedMatrix& w) noexcept {
  return sliced_high_at(w.blocks()) + w.low_bytes();
}

void prefetch_closer_bound(const SlicedMatrix& w, std::size_t r) noexcept {
  const std::uint8_t* record = w.record(r);
  for (std::size_t i = 0; i < sliced_high_at(w.blocks()); i += 64) {
    __builtin_prefetch(record + i, 0, kToL2);
  }
  const std::uint8_t* low = w.low(r);
  for (std::size_t i = 0; i < w.low_bytes(); i += 64) __builtin_prefetch(low + i, 0, kToL2);
}

void screen_many(const KernelTable& k, const SlicedMatrix& w, const ScreenInput& x, float* upper,
                 std::size_t stride, float* panel_max, std::size_t panel_stride, ThreadPool& pool) {
  static_assert(kScreenPanel % kManyRows == 0);
  const std::size_t cols = w.cols(), groups = kSlicedGroups * w.blocks();
  pool.parallel_for(w.rows(), kScreenPanel, [&](std::size_t begin, std::size_t end) {
    AlignedBuffer code_room(kManyRows * cols), scale_room(kManyRows * groups * sizeof(float));
    auto* codes = code_room.as<std::uint8_t>().data();
    auto* scales = scale_room.as<float>().data();
    for (std::size_t r = begin; r < end; r += kManyRows) {
      const std::size_t rows = std::min(kManyRows, end - r);
      for (std::size_t i = 0; i < rows; ++i) {
        k.sliced->unpack(w.record(r + i), w.low(r + i), w.blocks(), codes + i * cols,
                         scales + i * groups);
      }
      k.sliced->panel(codes, scales, rows, w.blocks(), x.data(), x.tokens(), upper + r, stride);
      for (std::size_t t = 0; t < x.tokens(); ++t) {
        float* row = upper + t * stride + r;
        float& max = panel_max[t * panel_stride + r / kScreenPanel];
        if (r % kScreenPanel == 0) max = -std::numeric_limits<float>::infinity();
        for (std::size_t i = 0; i < rows; ++i) {
          row[i] += norms_of(w, r + i).all * x.fine(t) + x[t].least;
          max = std::max(max, row[i]);
        }
      }
    }
  });
}

void sliced_matmul(const KernelTable& k, const SlicedMatrix& w, const float* x,
                   std::size_t x_stride, std::size_t tokens, float* y, std::size_t y_stride,
                   ThreadPool& pool) {
  if (tokens <= kFewTokens) {
    pool.parallel_for(w.rows(), kPanelRows, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; r += kPanelRows) {
        const std::size_t rows = std::min(kPanelRows, end - r);
        for (std::size_t t = 0; t < tokens; ++t) {
          k.sliced->gemv(w.record(r), w.record_bytes(), w.low(r), w.low_bytes(), rows, w.blocks(),
                         x + t * x_stride, y + t * y_stride + r);
        }
      }
    });
    return;
  }
  panel_matmul(k, w.rows(), w.cols(), x, x_stride, tokens, y, y_stride, pool,
               [&](std::size_t r, std::size_t c, std::size_t n, float* out) {
                 k.sliced->expand(w.record(r), w.low(r), w.blocks(), c / kSlicedBlock,
                                  n / kSlicedBlock, out);
               });
}

float sliced_dot(const KernelTable& k, const SlicedMatrix& w, std::size_t r,
                 const float* x) noexcept {
  float y;
  k.sliced->gemv(w.record(r), w.record_bytes(), w.low(r), w.low_bytes(), 1, w.blocks(), x, &y);
  return y;
}

void sliced_row(const KernelTable& k, const SlicedMatrix& w, std::size_t r, float* out) {
  k.sliced->expand(w.record(r), w.low(r), w.blocks(), 0, w.blocks(), out);
}

}  // namespace tern::kernels
