// Elementary functions that give the same bits on every machine: no libm call stands between a
// token and a sampled token, because libm's results differ between versions and processors. Built
// without fused multiply-add but where written; error below 2 ulp of double in the ranges given.
#pragma once

#include <cstddef>

namespace tern::math {

double exp(double x) noexcept;  // Any x; 0 below -745, inf above 709.8.
double log(double x) noexcept;  // x > 0, normal.
double sin(double x) noexcept;  // |x| < 1e9.
double cos(double x) noexcept;
double pow(double x, double y) noexcept;  // x > 0; exp(y log x) with log in extra precision: below
                                          // 4 ulp for |y log x| < 100.

}  // namespace tern::math
