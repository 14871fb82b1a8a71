// A handful of rows is enough: kernels know nothing of the others.
#include "tern/convert/kernel_check.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "tern/kernels/dense.h"
#include "tern/kernels/quantize.h"
#include "tern/kernels/sliced.h"
#include "tern/kernels/ternary.h"

namespace tern::convert {
namespace {

using kernels::Int8Rows;
using kernels::KernelTable;

constexpr std::size_t kRows = 18;   // More than a tile of the kernels has.
constexpr std::size_t kTokens = 5;  // Random ones and every extreme.

std::vector<std::size_t> sample_rows(std::size_t rows) {
  std::vector<std::size_t> sample{0, rows - 1};
  std::mt19937_64 random(rows);
  while (sample.size() < std::min(kRows, rows)) sample.push_back(random() % rows);
  std::ranges::sort(sample);
  return sample;
}

TernaryMatrix rows_of(const TernaryMatrix& matrix, const std::vector<std::size_t>& sample) {
  std::vector<float> scales(matrix.scales().begin(), matrix.scales().end());
  if (matrix.scale_kind() != ScaleKind::kTensor) {
    const std::size_t n = matrix.groups_per_row();
    scales.clear();
    for (const std::size_t r : sample) {
      const auto row = matrix.scales().subspan(r * n, n);
      scales.insert(scales.end(), row.begin(), row.end());
    }
  }
  TernaryMatrix out(sample.size(), matrix.cols(), matrix.scale_kind(), matrix.group(),
                    std::move(scales), matrix.layout());
  std::vector<std::int8_t> digits(matrix.cols());
  for (std::size_t i = 0; i < sample.size(); ++i) {
    matrix.get_row(sample[i], digits);
    out.set_row(i, digits);
  }
  return out;
}

// Activations: two random rows, all 127, all -128, and those that make row 0's sum as large as it
// can be, where 16-bit sums overflow if they are widened too late.
Int8Rows activations(const TernaryMatrix& w, std::size_t group) {
  Int8Rows x;
  x.resize(kTokens, w.cols(), group);
  std::mt19937 random(1);
  auto q = x.storage.as<std::int8_t>();
  std::ranges::fill(q, std::int8_t{0});
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t c = 0; c < w.cols(); ++c) {
      const int values[kTokens] = {static_cast<int>(random() & 255) - 128,
                                   static_cast<int>(random() & 255) - 128, 127, -128,
                                   w.digit(0, c) < 0 ? -128 : 127};
      q[t * x.stride + c] = static_cast<std::int8_t>(values[t]);
    }
  }
  for (std::size_t f = 0; f < x.sums.size(); ++f) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < kTernaryField; ++i) sum += q[f * kTernaryField + i];
    x.sums[f] = sum;
  }
  for (std::size_t i = 0; i < x.scales.size(); ++i) {
    x.scales[i] = 0.01f + 0.001f * static_cast<float>(i % 7);
  }
  return x;
}

// ternary.h's definition as a plain loop, with digits read one by one.
std::vector<float> plain_product(const TernaryMatrix& w, const Int8Rows& x) {
  std::vector<float> y(kTokens * w.rows());
  const std::size_t group = x.group != 0 ? x.group : w.group() != 0 ? w.group() : w.cols();
  const bool grouped = x.group != 0 || w.group() != 0;
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t r = 0; r < w.rows(); ++r) {
      float total = 0;
      for (std::size_t begin = 0; begin < w.cols(); begin += group) {
        std::int32_t sum = 0;
        for (std::size_t c = begin; c < std::min(begin + group, w.cols()); ++c) {
          sum += w.digit(r, c) * x.row(t)[c];
        }
        const float scale = w.scale(r, begin);
        const float x_scale = x.scales[t * x.groups + (x.group != 0 ? begin / group : 0)];
        if (!grouped) {
          total = static_cast<float>(sum) * (scale * x_scale);
        } else {
          total += static_cast<float>(sum) * (x.group != 0 ? scale * x_scale : scale);
        }
      }
      y[t * w.rows() + r] = grouped && x.group == 0 ? total * x.scales[t] : total;
    }
  }
  return y;
}

// Compares bits; names the first row that differs.
std::optional<std::string> first_difference(const std::vector<float>& found,
                                            const std::vector<float>& expected,
                                            std::string_view name, std::string_view against,
                                            const std::vector<std::size_t>& sample) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::memcmp(&found[i], &expected[i], sizeof(float)) != 0) {
      return fmt::format("kernel {}: row {} gives {} where {} gives {}", name,
                         sample[i % sample.size()], found[i], against, expected[i]);
    }
  }
  return std::nullopt;
}

std::vector<float> floats(std::size_t n) {
  std::mt19937 random(2);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(static_cast<int>(random() & 0xffff) - 0x8000) / 8192;
  return x;
}

// Runs `product(table, tokens)` on every table that is wanted and compares each with the last one,
// scalar.
template <typename Product>
std::optional<std::string> compare_tables(
    const std::vector<std::size_t>& sample, Product&& product,
    std::optional<TernaryLayout> needed_layout = std::nullopt) {
  auto tables = usable_tables();
  if (needed_layout) {
    std::erase_if(tables, [&](const KernelTable* table) {
      return !kernels::table_has_layout(*table, *needed_layout);
    });
  }
  for (const std::size_t tokens : {std::size_t{1}, kTokens}) {
    const std::vector<float> expected = product(*tables.back(), tokens);
    for (const KernelTable* table : tables) {
      if (auto difference = first_difference(product(*table, tokens), expected,
                                             kernels::table_name(*table), "scalar", sample)) {
        return difference;
      }
    }
  }
  return std::nullopt;
}

std::optional<std::string> int8_difference(const TernaryMatrix& w,
                                           const std::vector<std::size_t>& sample,
                                           std::size_t group, ThreadPool& pool) {
  Int8Rows x = activations(w, group);
  const auto product = [&](const KernelTable& table, std::size_t tokens) {
    x.tokens = tokens;
    std::vector<float> y(tokens * w.rows());
    kernels::ternary_matmul(table, w, x, y.data(), w.rows(), pool);
    return y;
  };
  if (auto difference = compare_tables(sample, product, w.layout())) return difference;
  const auto scalar = usable_tables().back();
  return first_difference(product(*scalar, kTokens), plain_product(w, x), "scalar", "a plain loop",
                          sample);
}

std::optional<std::string> float_difference(const TernaryMatrix& w,
                                            const std::vector<std::size_t>& sample,
                                            ThreadPool& pool) {
  const std::vector<float> x = floats(kTokens * w.cols());
  return compare_tables(sample, [&](const KernelTable& table, std::size_t tokens) {
    std::vector<float> y(tokens * w.rows());
    kernels::ternary_matmul_float(table, w, x.data(), w.cols(), tokens, y.data(), w.rows(), pool);
    return y;
  });
}

std::optional<std::string> dense_difference(const DenseMatrix& matrix, ThreadPool& pool) {
  const std::vector<std::size_t> sample = sample_rows(matrix.rows);
  DenseMatrix w;
  w.type = matrix.type;
  w.rows = sample.size();
  w.cols = matrix.cols;
  w.owned = AlignedBuffer(sample.size() * matrix.row_bytes());
  for (std::size_t i = 0; i < sample.size(); ++i) {
    std::memcpy(w.owned.data() + i * matrix.row_bytes(), matrix.row(sample[i]), matrix.row_bytes());
  }
  w.bytes = {w.owned.data(), w.owned.size()};
  const std::vector<float> x = floats(kTokens * w.cols);
  return compare_tables(sample, [&](const KernelTable& table, std::size_t tokens) {
    std::vector<float> y(tokens * w.rows);
    kernels::dense_matmul(table, w, x.data(), w.cols, tokens, y.data(), w.rows, pool);
    return y;
  });
}

std::optional<std::string> sliced_difference(const SlicedMatrix& matrix, ThreadPool& pool) {
  const std::vector<std::size_t> sample = sample_rows(matrix.rows());
  const SlicedMatrix w = matrix.pick(sample);
  const std::vector<float> x = floats(kTokens * w.cols());
  return compare_tables(sample, [&](const KernelTable& table, std::size_t tokens) {
    std::vector<float> y(tokens * w.rows());
    kernels::sliced_matmul(table, w, x.data(), w.cols(), tokens, y.data(), w.rows(), pool);
    return y;
  });
}

}  // namespace

std::vector<const KernelTable*> usable_tables() {
  std::vector<const KernelTable*> usable;
  for (const KernelTable* table : kernels::all_tables()) {
    if (kernels::table_supported(*table)) usable.push_back(table);
  }
  return usable;
}

std::optional<std::string> kernel_difference(const Matrix& matrix, std::size_t activation_group,
                                             bool linear, ThreadPool& pool) {
  const auto* ternary = std::get_if<TernaryMatrix>(&matrix);
  if (const auto* sliced = std::get_if<SlicedMatrix>(&matrix)) {
    return sliced_difference(*sliced, pool);
  }
  if (ternary == nullptr) return dense_difference(std::get<DenseMatrix>(matrix), pool);
  const std::vector<std::size_t> sample = sample_rows(ternary->rows());
  const TernaryMatrix rows = rows_of(*ternary, sample);
  if (!linear) return float_difference(rows, sample, pool);
  if (auto difference = int8_difference(rows, sample, activation_group, pool)) return difference;
  if (rows.scale_kind() == ScaleKind::kGroup || activation_group != 0) return std::nullopt;
  const TernaryMatrix five = with_layout(rows, TernaryLayout::kFivePerByte, pool);
  return int8_difference(five, sample, activation_group, pool);
}

}  // namespace tern::convert
