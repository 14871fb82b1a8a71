// AdamW in one pass over memory (Loshchilov and Hutter, arXiv 1711.05101; the numbers are those of
// torch::optim::AdamW): weights, gradient and both moments are read once and written once.
//
//   g = clip * gradient;  w = w (1 - rate * decay)
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   w = w - rate / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tern/train/schedule.h"

namespace tern::train {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
};

class AdamW {
 public:
  // What one parameter needs; the moments are undefined until its first step.
  struct Slot {
    std::string name;
    torch::Tensor parameter;  // float32, contiguous.
    torch::Tensor exp_avg, exp_avg_sq;
    std::int64_t step = 0;
    // Another process takes its steps (weight_shards.h): step() leaves it alone.
    bool foreign = false;
  };

  // Takes the parameters that want gradients. Matrices decay, vectors (norms) do not.
  AdamW(const torch::OrderedDict<std::string, torch::Tensor>& parameters,
        const AdamWOptions& options);

  // One step with gradients times `clip`. A parameter without a gradient is left alone.
  void step(const Rates& rates, double clip);
  void drop_gradients();
  // The norm of all gradients together, summed in double; not finite where one is not.
  double gradient_norm() const;

  std::vector<Slot>& slots() noexcept { return slots_; }
  const std::vector<Slot>& slots() const noexcept { return slots_; }

 private:
  AdamWOptions options_;
  std::vector<Slot> slots_;
};

}  // namespace tern::train
