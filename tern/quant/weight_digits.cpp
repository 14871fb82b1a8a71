// Loops for vectors of any width, with the same result.
#include "tern/quant/weight_digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "tern/base/vector_clones.h"

namespace tern::quant {
namespace {

constexpr std::size_t kLanes = 16;
constexpr float kSmallestMean = 1e-5f;

}  // namespace

TERN_VECTOR_CLONES
WeightSums weight_sums(std::span<const float> weights) noexcept {
  std::array<double, kLanes> magnitude{}, value{};
  const float* w = weights.data();
  const std::size_t n = weights.size();
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      const auto v = static_cast<double>(w[i + j]);
      magnitude[j] += std::fabs(v);
      value[j] += v;
    }
  }
  for (; i < n; ++i) {
    const auto v = static_cast<double>(w[i]);
    magnitude[i % kLanes] += std::fabs(v);
    value[i % kLanes] += v;
  }
  WeightSums sums;
  for (std::size_t j = 0; j < kLanes; ++j) sums += {magnitude[j], value[j]};
  return sums;
}

WeightMeans weight_means(const WeightSums& sums, double count) noexcept {
  if (count == 0) return {kSmallestMean, 0};
  return {std::max(static_cast<float>(sums.magnitude / count), kSmallestMean),
          static_cast<float>(sums.value / count)};
}

TERN_VECTOR_CLONES
void ternary_digits(std::span<const float> weights, const WeightMeans& means,
                    std::span<std::int8_t> digits) noexcept {
  const float inverse = 1.0f / means.scale;
  const float* w = weights.data();
  std::int8_t* to = digits.data();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    // Half to even and then the clamp: 0.5 goes to 0, anything above it to 1.
    const float v = w[i] * inverse;
    to[i] = static_cast<std::int8_t>(static_cast<int>(v > 0.5f) - static_cast<int>(v < -0.5f));
  }
}

TERN_VECTOR_CLONES
void binary_digits(std::span<const float> weights, const WeightMeans& means,
                   std::span<std::int8_t> digits) noexcept {
  const float* w = weights.data();
  std::int8_t* to = digits.data();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    to[i] = static_cast<std::int8_t>(static_cast<int>(w[i] > means.centre) -
                                     static_cast<int>(w[i] < means.centre));
  }
}

}  // namespace tern::quant
