// How long a training step takes, of several kinds of the same model in turns, so that what else
// the machine does hits all alike.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/train/config.h"

namespace tern::train {

struct StepKind {
  std::string_view name;     // "b1.58".
  std::string_view meaning;  // One line.
  WeightKind weights;
  Products products;
};
// "b1.58" (tern's kernels), "b1.58-libtorch" (the same model, plain libtorch) and "fp" (the twin in
// full precision, its products in the same type).
const std::vector<StepKind>& step_kinds();

struct StepTiming {
  std::string name;
  std::vector<double> seconds;  // Of each step, forward to optimiser; the first one is left out.
  double first_loss = 0, last_loss = 0;
  std::uint64_t parameters = 0;
  // Weights, gradients and AdamW's moments, in bytes; and the most that was resident. The latter
  // is only told where one kind runs alone.
  std::uint64_t state_bytes = 0, peak_bytes = 0;
};

// `steps` steps of each kind on random tokens; `config` gives everything but the kind of weights
// and products. Sets libtorch's thread count. `on_step` is told after each step.
std::vector<StepTiming> bench_steps(const TrainConfig& config,
                                    const std::vector<const StepKind*>& kinds, std::size_t steps,
                                    const std::function<void()>& on_step);

double median(std::vector<double> values);

}  // namespace tern::train
