// One training step: gradients of micro-batches, clipping, AdamW. Model and optimiser live here;
// what is read, logged and saved is trainer.h's business.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <string>

#include "tern/train/adamw.h"
#include "tern/train/config.h"
#include "tern/train/objective.h"
#include "tern/train/schedule.h"
#include "tern/train/transformer.h"

namespace tern::train {

// bf16 where the CPU multiplies it and the config leaves it open.
torch::Dtype product_type(Precision precision) noexcept;

TransformerOptions transformer_options(const TrainConfig& config);

class Stepper {
 public:
  // Seeds libtorch's generator with config.seed, then makes the model. With config.lora, the model
  // stands still and its adapters alone are trained (lora.h).
  explicit Stepper(const TrainConfig& config);

  // Adds the gradients of a batch; `totals` are of the whole step. The sum over the step's batches
  // is the step's loss (objective.h).
  LossTerms accumulate(const Batch& batch, const StepTotals& totals);
  // The norm of all gradients together; where it is larger than config.clip, the next apply() takes
  // them scaled down to that. Not finite where a gradient is not.
  double clip();
  // The parameter nearest to the loss whose gradient is not finite, "" where all are.
  std::string first_non_finite_gradient() const;
  std::string first_non_finite_parameter() const;
  void apply(const Rates& rates);  // AdamW's step, then gradients are dropped.
  void drop_gradients();

  Transformer& model() noexcept { return model_; }
  AdamW& optimizer() noexcept { return *optimizer_; }

 private:
  TrainConfig config_;
  Transformer model_{nullptr};
  std::optional<AdamW> optimizer_;
  Objective objective_;
  double clip_ = 1;  // What the next step multiplies gradients with.
};

}  // namespace tern::train
