// Learning rate and weight decay over a run (the training FAQ of BitNet b1.58), and the warm-up of
// quantisation (huggingface.co/blog/1_58_llm_extreme_quantization).
#pragma once

#include <cstdint>

#include "tern/train/config.h"

namespace tern::train {

struct Rates {
  double learning_rate = 0, weight_decay = 0;
};

// `step` counts from 0; `progress` in [0, 1] is the share of the budget that was used before this
// step. Every kind begins with a linear warm-up over warmup_steps (step s has (s + 1) / warmup of
// the rate below):
//   two-stage  progress < switch_at: learning_rate * (1 - progress), weight_decay; then
//              second_learning_rate * (1 - progress), second_weight_decay: two lines that both end
//              in 0 at the end of the run, as the paper's figure has them
//   wsd        learning_rate; over the last decay_share linearly down to final_ratio of it
//   cosine     half a cosine from learning_rate to final_ratio of it
//   linear     a line between the same; constant: learning_rate
Rates rates(const ScheduleConfig& schedule, std::uint64_t step, double progress) noexcept;

// How much of the quantisation holds at `step`, counted from 0: with t = step / steps, below 1
// where t is, and 1 from there on:
//   none         1
//   linear       t
//   exponential  1 - (1 - t)^k
//   sigmoid      1 / (1 + exp(-k (t - 1/2)))
double quantization_share(const WarmupConfig& warmup, std::uint64_t step) noexcept;

}  // namespace tern::train
