// Float weights to digits: one definition, for a model that is converted and for one that is
// trained, so that both get the same ones.
//
//   scale = max(mean|W|, 1e-5), centre = mean(W), over the weights that share a scale
//   b1.58: digit = clamp(round_half_even(W * (1 / scale)), -1, 1)      (arXiv 2402.17764)
//   b1:    digit = sign(W - centre), 0 where they are equal             (arXiv 2310.11453)
#pragma once

#include <cstdint>
#include <span>

namespace tern::quant {

// Sums in double. Those of a row, or of a group of its columns, go in 16 lanes and a fixed order;
// a matrix is the sum of its rows, in order.
struct WeightSums {
  double magnitude = 0, value = 0;

  WeightSums& operator+=(const WeightSums& other) noexcept {
    magnitude += other.magnitude;
    value += other.value;
    return *this;
  }
};
WeightSums weight_sums(std::span<const float> weights) noexcept;

struct WeightMeans {
  float scale = 0, centre = 0;
};
WeightMeans weight_means(const WeightSums& sums, double count) noexcept;

// As many digits as weights. A weight that is not a number has the digit 0.
void ternary_digits(std::span<const float> weights, const WeightMeans& means,
                    std::span<std::int8_t> digits) noexcept;
void binary_digits(std::span<const float> weights, const WeightMeans& means,
                   std::span<std::int8_t> digits) noexcept;

}  // namespace tern::quant
