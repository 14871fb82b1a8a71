// Norms, gates, rotations and quantisation: every table against scalar, scalar against double.
#include "tern/kernels/elementwise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tern/kernels/quantize.h"
#include "tern/kernels/rope.h"
#include "tern/kernels/table_test.h"

namespace tern::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ElementwiseTables : public TableTest {};

TEST_P(ElementwiseTables, EveryShortLengthEqualsScalar) {
  std::mt19937 rng(20260309);
  for (std::size_t n = 0; n <= 70; ++n) {
    const std::string what = std::to_string(n) + " numbers";
    const Exact<float> a = random_floats(n, rng), b = random_floats(n, rng);
    const auto run = [&](const KernelTable& table, auto&& body) {
      Exact<float> out(n);
      std::copy_n(a.data(), n, out.data());
      body(table, out.data());
      return out;
    };
    const auto check = [&](auto&& body) {
      const Exact<float> got = run(k(), body), want = run(kScalar, body);
      expect_same_bits(got.span(), want.span(), what);
    };
    check([&](const KernelTable& t, float* x) { t.silu_mul(x, b.data(), n); });
    check([&](const KernelTable& t, float* x) { t.relu2_mul(x, b.data(), n); });
    check([&](const KernelTable& t, float* x) { t.add(x, b.data(), n); });
    check([&](const KernelTable& t, float* x) { t.norm_scale(x, b.data(), 0.77f, n, x); });
    check([&](const KernelTable& t, float* x) { t.merge(x, 0.3f, b.data(), -1.7f, n); });
    check([&](const KernelTable& t, float* x) { t.divide(x, 3.1f, n, x); });
    check([&](const KernelTable& t, float* x) { t.exp(x, n, x); });
    EXPECT_EQ(k().absmax(a.data(), n), kScalar.absmax(a.data(), n));
    Exact<std::int8_t> got(n, 1), want(n, 2);
    k().quantize(a.data(), n, 20.0f, got.data());
    kScalar.quantize(a.data(), n, 20.0f, want.data());
    ASSERT_TRUE(std::ranges::equal(got.span(), want.span())) << what;
    if (n % 2 == 0 && n > 0) {
      check(
          [&](const KernelTable& t, float* x) { t.rope(x, 1, n / 2, b.data(), b.data() + n / 2); });
    }
  }
}

// A sweep over all exponents and signs, and the numbers where something changes.
std::vector<float> exp_inputs() {
  std::vector<float> x{0.0f,    -0.0f,  1.0f,   -1.0f,    88.7f,     88.722839f, 88.73f,   89.0f,
                       100.0f,  1e30f,  -1e30f, -87.336f, -87.34f,   -103.9f,    -103.98f, -104.0f,
                       -104.1f, -150.f, 1e-40f, -1e-40f,  kInfinity, -kInfinity};
  for (std::uint32_t bits = 0; bits < 0x43000000u; bits += 7919) {
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(-x.back());
  }
  return x;
}

TEST_P(ElementwiseTables, ExpIsWithinTwoUnitsAndEqualsScalar) {
  const std::vector<float> x = exp_inputs();
  std::vector<float> got(x.size()), want(x.size());
  k().exp(x.data(), x.size(), got.data());
  kScalar.exp(x.data(), x.size(), want.data());
  expect_same_bits(got, want, "exp");
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    if (exact >= 0x1.ffffffp+127) {  // Nearer to 2^128 than to the largest float.
      ASSERT_EQ(got[i], kInfinity) << x[i];
      continue;
    }
    const double unit =
        std::max(std::ldexp(1.0, std::ilogb(std::max(exact, 0x1p-149)) - 23), 0x1p-149);
    worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - exact) / unit);
  }
  EXPECT_LT(worst, 2.0);
  RecordProperty("worst_ulp", std::to_string(worst));
}

TEST_P(ElementwiseTables, ExpOfNanIsNan) {
  std::vector<float> x(20, std::numeric_limits<float>::quiet_NaN());
  k().exp(x.data(), x.size(), x.data());
  for (const float v : x) EXPECT_TRUE(std::isnan(v));
}

TEST_P(ElementwiseTables, GatesAreRight) {
  std::mt19937 rng(20260310);
  ThreadPool pool(2);
  const Exact<float> gate = random_floats(9000, rng), up = random_floats(9000, rng);
  std::vector<float> silu(gate.data(), gate.data() + 9000), relu2 = silu;
  silu_mul(k(), silu.data(), up.data(), silu.size(), pool);
  relu2_mul(k(), relu2.data(), up.data(), relu2.size(), pool);
  for (std::size_t i = 0; i < silu.size(); ++i) {
    const double g = static_cast<double>(gate[i]), u = static_cast<double>(up[i]);
    const double want = g / (1 + std::exp(-g)) * u;
    ASSERT_NEAR(static_cast<double>(silu[i]), want, std::fabs(want) * 4e-7) << g;
    const double square = g > 0 ? g * g * u : 0;
    ASSERT_NEAR(static_cast<double>(relu2[i]), square, std::fabs(square) * 2e-7) << g;
  }
  // The ends of the range.
  std::vector<float> ends{-200.0f, 200.0f, -0.0f, 0.0f};
  const std::vector<float> ones(4, 1.0f);
  silu_mul(k(), ends.data(), ones.data(), 4, pool);
  EXPECT_EQ(ends, (std::vector<float>{-0.0f, 200.0f, -0.0f, 0.0f}));
}

TEST_P(ElementwiseTables, RmsnormIsRightForAnyThreads) {
  std::mt19937 rng(20260311);
  const std::size_t n = 331, stride = 340, tokens = 5;
  const Exact<float> x = random_floats(tokens * stride, rng), weight = random_floats(n, rng);
  std::vector<float> first;
  for (const std::size_t threads : Sizes{1, 2, 4}) {
    ThreadPool pool(threads);
    std::vector<float> out(x.data(), x.data() + x.size());
    rmsnorm_rows(k(), out.data(), weight.data(), n, stride, tokens, 1e-5f, out.data(), pool);
    if (threads == 1) first = out;
    expect_same_bits(out, first, "threads");
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i)
      squares += std::pow(static_cast<double>(x[t * stride + i]), 2);
    const double r = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
    for (std::size_t i = 0; i < n; ++i) {
      const double want =
          static_cast<double>(x[t * stride + i]) * r * static_cast<double>(weight[i]);
      ASSERT_NEAR(static_cast<double>(first[t * stride + i]), want, std::fabs(want) * 2e-6);
    }
    EXPECT_EQ(first[t * stride + n], x[t * stride + n]);  // Between rows: not written.
  }
}

TEST_P(ElementwiseTables, QuantizeFollowsTheDefinition) {
  std::mt19937 rng(20260312);
  ThreadPool pool(2);
  for (const std::size_t group : Sizes{0, 64, 192}) {
    const std::size_t tokens = 3, cols = 500;
    Exact<float> x = random_floats(tokens * cols, rng);
    for (std::size_t i = 0; i < cols; ++i) x[cols + i] = 0;  // A row of zeros.
    Int8Rows q;
    q.resize(tokens, cols, group);
    quantize_rows(k(), x.data(), cols, q, pool);
    EXPECT_EQ(q.stride, 576u);
    const std::size_t width = group == 0 ? cols : group;
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t c = 0; c < q.stride; ++c) {
        int want = 0;
        if (c < cols) {
          const std::size_t begin = c / width * width, end = std::min(begin + width, cols);
          float max = 1e-5f;
          for (std::size_t i = begin; i < end; ++i) {
            max = std::max(max, std::fabs(x[t * cols + i]));
          }
          // nearbyint rounds half to even in the default mode.
          const float rounded = std::nearbyint(x[t * cols + c] * (127.0f / max));
          want = static_cast<int>(std::clamp(rounded, -128.0f, 127.0f));
          ASSERT_EQ(q.scales[t * q.groups + c / width], max / 127.0f);
        }
        ASSERT_EQ(q.row(t)[c], want) << t << " " << c;
      }
      for (std::size_t f = 0; f < 9; ++f) {
        int sum = 0;
        for (std::size_t i = 0; i < 64; ++i) sum += q.row(t)[64 * f + i];
        ASSERT_EQ(q.sums[t * 9 + f], sum);
      }
    }
  }
  // Halves go to the even neighbour.
  const float halves[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -127.5f, 200.0f, -200.0f};
  std::int8_t out[10];
  k().quantize(halves, 10, 1.0f, out);
  const std::int8_t want[] = {0, 2, 2, 0, -2, -2, 126, -128, 127, -128};
  EXPECT_TRUE(std::ranges::equal(out, want));
}

TEST_P(ElementwiseTables, RopeRotates) {
  std::mt19937 rng(20260313);
  const std::vector<double> frequencies{1.0, 0.3, 0.01, 1e-4, 0.77};
  const RopeTable table(4001, frequencies);
  for (const std::size_t position : Sizes{0, 1, 17, 4000}) {
    const Exact<float> x = random_floats(20, rng);
    std::vector<float> y(x.data(), x.data() + 20);
    rope(k(), y.data(), 2, 10, table.cos(position), table.sin(position));
    for (std::size_t h = 0; h < 2; ++h) {
      for (std::size_t i = 0; i < 5; ++i) {
        const double angle = static_cast<double>(position) * frequencies[i];
        const double a = static_cast<double>(x[10 * h + i]),
                     b = static_cast<double>(x[10 * h + i + 5]);
        const double size = std::fabs(a) + std::fabs(b);
        EXPECT_NEAR(static_cast<double>(y[10 * h + i]), a * std::cos(angle) - b * std::sin(angle),
                    size * 2e-7);
        EXPECT_NEAR(static_cast<double>(y[10 * h + i + 5]),
                    b * std::cos(angle) + a * std::sin(angle), size * 2e-7);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ElementwiseTables, testing::ValuesIn(tables_under_test()),
                         table_label);

}  // namespace
}  // namespace tern::kernels
