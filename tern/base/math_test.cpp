// math.h against the C library's long double, and known values bit by bit.
#include "tern/base/math.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace tern {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Distance in units of the last place of the exact value as a double.
double error_ulp(double got, long double exact) {
  const double magnitude = std::fabs(static_cast<double>(exact));
  const double unit = std::nextafter(magnitude, kInfinity) - magnitude;
  return std::fabs(static_cast<double>((static_cast<long double>(got) - exact) / unit));
}

class Math : public testing::Test {
 protected:
  double uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(rng_() >> 11) * 0x1p-53);
  }
  std::mt19937_64 rng_{20260315};
};

constexpr int kSamples = 100000;

TEST_F(Math, ExpIsWithinTwoUnits) {
  double worst = 0;
  for (int i = 0; i < kSamples; ++i) {
    const double x = i % 2 == 0 ? uniform(-708, 709.7) : uniform(-2, 2);
    worst = std::max(worst, error_ulp(math::exp(x), std::exp(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 2.0);
}

TEST_F(Math, ExpAtTheEnds) {
  EXPECT_EQ(math::exp(0.0), 1.0);
  EXPECT_EQ(math::exp(-0.0), 1.0);
  EXPECT_EQ(math::exp(-746.0), 0.0);
  EXPECT_EQ(math::exp(-1e300), 0.0);
  EXPECT_EQ(math::exp(-kInfinity), 0.0);
  EXPECT_EQ(math::exp(710.0), kInfinity);
  EXPECT_EQ(math::exp(kInfinity), kInfinity);
  EXPECT_EQ(math::exp(709.79), kInfinity);
  EXPECT_TRUE(std::isnan(math::exp(std::numeric_limits<double>::quiet_NaN())));
  // Denormal results: within one of their units.
  for (double x = -745.1; x < -708; x += 0.37) {
    EXPECT_NEAR(math::exp(x), std::exp(x), 1.5 * 0x1p-1074) << x;
  }
}

TEST_F(Math, LogIsWithinTwoUnits) {
  double worst = 0;
  for (int i = 0; i < kSamples; ++i) {
    const double x = i % 2 == 0 ? std::ldexp(uniform(1, 2), static_cast<int>(uniform(-1021, 1022)))
                                : uniform(0.5, 2);
    worst = std::max(worst, error_ulp(math::log(x), std::log(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 2.0);
  EXPECT_EQ(math::log(1.0), 0.0);
}

// Angles as RoPE has them, and multiples of pi / 2, where nothing but the low parts is left.
TEST_F(Math, SinAndCosAreWithinTwoUnits) {
  double worst = 0;
  const auto check = [&](double x) {
    const auto exact = static_cast<long double>(x);
    worst = std::max(worst, error_ulp(math::sin(x), std::sin(exact)));
    worst = std::max(worst, error_ulp(math::cos(x), std::cos(exact)));
  };
  for (int i = 0; i < kSamples; ++i) {
    check(uniform(-1, 1) * std::exp2(uniform(-10, 29.8)));
    if (i % 8 == 0) check(std::rint(uniform(-6e8, 6e8)) * 1.5707963267948966);
  }
  EXPECT_LT(worst, 2.0);
  EXPECT_EQ(math::sin(0.0), 0.0);
  EXPECT_EQ(math::cos(0.0), 1.0);
}

TEST_F(Math, PowIsWithinFourUnits) {
  double worst = 0;
  for (int i = 0; i < kSamples; ++i) {
    const double x = std::exp2(uniform(-60, 60));
    const double y = uniform(-99.9, 99.9) / std::log(x);
    const long double exact = std::pow(static_cast<long double>(x), static_cast<long double>(y));
    worst = std::max(worst, error_ulp(math::pow(x, y), exact));
  }
  EXPECT_LT(worst, 4.0);
  EXPECT_EQ(math::pow(10000.0, 0.0), 1.0);
  EXPECT_EQ(math::pow(2.0, 10.0), 1024.0);
}

// The same bits on every machine: a hash over inputs made from integers only. The value was
// computed on x86-64; aarch64 must give it too.
TEST_F(Math, SameBitsEverywhere) {
  std::uint64_t hash = 14695981039346656037ULL;
  const auto add = [&](double v) {
    hash = (hash ^ std::bit_cast<std::uint64_t>(v)) * 1099511628211ULL;
  };
  for (int i = 0; i < 20000; ++i) {
    const double u = static_cast<double>(static_cast<std::int64_t>(rng_())) * 0x1p-63;
    add(math::exp(u * 700));
    add(math::log(std::fabs(u) + 0x1p-40));
    add(math::sin(u * 1e6));
    add(math::cos(u * 1e6));
    add(math::pow(500000.0, u));
  }
  EXPECT_EQ(hash, 15201174843157773136ULL);
}

}  // namespace
}  // namespace tern
