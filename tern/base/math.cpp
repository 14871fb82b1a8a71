// Double-precision functions from polynomials and fused multiply-adds, the same on every machine.
#include "tern/base/math.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace tern::math {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A number as an unevaluated sum of two doubles, |low| far below |high|.
struct Pair {
  double high, low;
};

// The exact sum of two numbers, |a| >= |b| or not.
Pair two_sum(double a, double b) noexcept {
  const double sum = a + b;
  const double b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

// Round to nearest, ties to even, for |x| < 2^51.
double round_even(double x) noexcept {
  constexpr double kMagic = 0x1.8p+52;
  return (x + kMagic) - kMagic;
}

// 2^n, for n in the exponents of normal numbers.
double power_of_two(int n) noexcept {
  return std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52);
}

// Horner's rule, fused: c[0] + c[1] z + ...
template <std::size_t n>
double polynomial(const double (&c)[n], double z) noexcept {
  double sum = c[n - 1];
  for (std::size_t i = n - 1; i-- > 0;) sum = std::fma(sum, z, c[i]);
  return sum;
}

// e^(x + low): r = x - n ln 2 with |r| <= ln 2 / 2, and the Taylor series of e^r to r^13 / 13!
// (the next term is below 2^-57).
double exp_pair(double x, double low) noexcept {
  if (x != x) return x;
  if (x > 709.8) return kInfinity;
  if (x < -745.2) return 0;
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  constexpr double kLn2High = 0x1.62e42fefa39efp-1;
  constexpr double kLn2Low = 0x1.abc9e3b39803fp-56;
  const double n = round_even(x * kLog2E);
  const double r0 = std::fma(-n, kLn2High, x);
  const Pair r = two_sum(r0, std::fma(-n, kLn2Low, low));
  constexpr double kInverseFactorials[] = {1.0 / 2,        1.0 / 6,         1.0 / 24,
                                           1.0 / 120,      1.0 / 720,       1.0 / 5040,
                                           1.0 / 40320,    1.0 / 362880,    1.0 / 3628800,
                                           1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
  const double q = polynomial(kInverseFactorials, r.high);
  const double tail = std::fma(r.high * r.high, q, std::fma(r.low, r.high, r.low));
  const double p = 1.0 + (r.high + tail);
  const int exponent = static_cast<int>(n);
  const int half = exponent / 2;  // Two steps, so that results near the ends round once.
  return p * power_of_two(half) * power_of_two(exponent - half);
}

// log x = e ln 2 + 2 atanh(s), s = (m - 1) / (m + 1), x = m 2^e, m in [sqrt 1/2, sqrt 2): the
// leading term in two doubles, the series s^3/3 + s^5/5 + ... in one (it is below s^2 / 3 of it).
Pair log_pair(double x) noexcept {
  auto bits = std::bit_cast<std::uint64_t>(x);
  int e = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL);
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    e += 1;
  }
  const double f = m - 1.0;        // Exact.
  const Pair d = two_sum(2.0, f);  // m + 1.
  const double s = f / d.high;
  const double s_low = (std::fma(-s, d.high, f) - s * d.low) / d.high;
  const double z = s * s;
  double series = 0;
  for (int k = 25; k >= 3; k -= 2) series = std::fma(series, z, 1.0 / k);
  const double rest = 2.0 * (s_low + s * (z * series));
  constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 42 bits: e * kLn2High is exact.
  constexpr double kLn2Low = 0x1.ef35793c76730p-45;
  const Pair sum = two_sum(e * kLn2High, 2.0 * s);
  return two_sum(sum.high, sum.low + std::fma(static_cast<double>(e), kLn2Low, rest));
}

// x = k (pi / 2) + r, |r| <= pi / 4 and a little; k mod 4 in `quarter`. x - k P1 is exact (both are
// multiples of 2^-53 or of ulp(x), and the difference is below 1), the rest is carried in two
// doubles.
Pair reduce(double x, unsigned& quarter) noexcept {
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kP1 = 0x1.921fb54442d18p+0;
  constexpr double kP2 = 0x1.1a62633145c07p-54;
  constexpr double kP3 = -0x1.f1976b7ed8fbcp-110;
  const double k = round_even(x * kTwoOverPi);
  quarter = static_cast<unsigned>(static_cast<std::int64_t>(k)) & 3;
  const double r = std::fma(-k, kP1, x);
  const double product = k * kP2;
  const double error = std::fma(k, kP2, -product);
  const Pair sum = two_sum(r, -product);
  return two_sum(sum.high, sum.low - (error + k * kP3));
}

// sin and cos of r for |r| <= 0.79 by their Taylor series (the next terms are below 2^-58).
double sin_small(Pair r) noexcept {
  constexpr double kSeries[] = {-1.0 / 6,
                                1.0 / 120,
                                -1.0 / 5040,
                                1.0 / 362880,
                                -1.0 / 39916800.0,
                                1.0 / 6227020800.0,
                                -1.0 / 1307674368000.0,
                                1.0 / 355687428096000.0};
  const double z = r.high * r.high;
  const double cubic = r.high * z * polynomial(kSeries, z);
  // The low part counts times cos r, which is about 1 - z / 2.
  return r.high + (cubic + r.low * (1.0 - 0.5 * z));
}

double cos_small(Pair r) noexcept {
  constexpr double kSeries[] = {1.0 / 24,
                                -1.0 / 720,
                                1.0 / 40320,
                                -1.0 / 3628800,
                                1.0 / 479001600.0,
                                -1.0 / 87178291200.0,
                                1.0 / 20922789888000.0,
                                -1.0 / 6402373705728000.0};
  const double z = r.high * r.high;
  // 1 - z / 2 is carried with its rounding error.
  const double half = 0.5 * z;
  const double head = 1.0 - half;
  const double lost = (1.0 - head) - half;
  return head + (lost + (z * z * polynomial(kSeries, z) - r.high * r.low));
}

}  // namespace

double exp(double x) noexcept { return exp_pair(x, 0); }

double log(double x) noexcept { return log_pair(x).high; }

double sin(double x) noexcept {
  unsigned quarter;
  const Pair r = reduce(x, quarter);
  const double value = (quarter & 1) != 0 ? cos_small(r) : sin_small(r);
  return (quarter & 2) != 0 ? -value : value;
}

double cos(double x) noexcept {
  unsigned quarter;
  const Pair r = reduce(x, quarter);
  const double value = (quarter & 1) != 0 ? sin_small(r) : cos_small(r);
  return quarter == 1 || quarter == 2 ? -value : value;
}

double pow(double x, double y) noexcept {
  const Pair l = log_pair(x);
  const double product = y * l.high;
  const double error = std::fma(y, l.high, -product) + y * l.low;
  return exp_pair(product, error);
}

}  // namespace tern::math
