// Rotary frequencies of a model, plain or scaled.
#pragma once

#include <vector>

#include "tern/arch/model_config.h"

namespace tern::arch {

// By what each of the head_dim / 2 plain frequencies is divided: all 1 without scaling. Llama 3.1's
// rule (rope_type "llama3", as transformers' _compute_llama3_parameters has it): wavelengths longer
// than original_context / low_freq_factor are stretched by `factor`, those shorter than
// original_context / high_freq_factor kept, those between blended. Rounded to float, because a GGUF
// stores them so (rope_freqs.weight), and a folder and its GGUF give the same bits.
std::vector<double> rope_factors(const ModelConfig& config);

// theta^(-2i / head_dim) / rope_factors[i] / rope_linear_factor, in radians per position.
std::vector<double> rope_frequencies(const ModelConfig& config);

}  // namespace tern::arch
