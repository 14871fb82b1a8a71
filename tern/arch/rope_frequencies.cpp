// In double, with tern's own pow, so that every machine has the same table.
#include "tern/arch/rope_frequencies.h"

#include <cstddef>
#include <numbers>

#include "tern/base/math.h"

namespace tern::arch {
namespace {

double plain_frequency(const ModelConfig& config, std::size_t i) {
  return math::pow(config.rope_theta,
                   -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
}

double llama3_factor(const Llama3RopeScaling& s, double frequency) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const auto context = static_cast<double>(s.original_context);
  if (wavelength < context / s.high_freq_factor) return 1;
  if (wavelength > context / s.low_freq_factor) return s.factor;
  const double smooth =
      (context / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return 1 / ((1 - smooth) / s.factor + smooth);
}

}  // namespace

std::vector<double> rope_factors(const ModelConfig& config) {
  if (!config.rope_factors.empty()) {
    return {config.rope_factors.begin(), config.rope_factors.end()};
  }
  std::vector<double> factors(config.head_dim / 2, 1.0);
  if (config.rope_llama3) {
    for (std::size_t i = 0; i < factors.size(); ++i) {
      const double factor = llama3_factor(*config.rope_llama3, plain_frequency(config, i));
      factors[i] = static_cast<double>(static_cast<float>(factor));
    }
  }
  return factors;
}

std::vector<double> rope_frequencies(const ModelConfig& config) {
  std::vector<double> frequencies = rope_factors(config);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = plain_frequency(config, i) / frequencies[i] / config.rope_linear_factor;
  }
  return frequencies;
}

}  // namespace tern::arch
