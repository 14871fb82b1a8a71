// One training step: gradients of micro-batches, their sum over processes, clipping, AdamW. Model
// and optimiser live here; what is read, logged and saved is trainer.h's business.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tern/train/adamw.h"
#include "tern/train/config.h"
#include "tern/train/gradient_sum.h"
#include "tern/train/objective.h"
#include "tern/train/processes.h"
#include "tern/train/schedule.h"
#include "tern/train/transformer.h"
#include "tern/train/weight_shards.h"

namespace tern::train {

// bf16 where the CPU multiplies it and the config leaves it open.
torch::Dtype product_type(Precision precision) noexcept;

TransformerOptions transformer_options(const TrainConfig& config);

class Stepper {
 public:
  // Seeds libtorch's generator with config.seed, then makes the model. With config.lora, the model
  // stands still and its adapters alone are trained (lora.h). `processes`, which outlives this
  // object, are those of the run; nullptr: one.
  explicit Stepper(const TrainConfig& config, Processes* processes = nullptr);

  // Adds the gradients of a batch; `totals` are of the whole step. The sum over the step's batches
  // is the step's loss (objective.h).
  LossTerms accumulate(const Batch& batch, const StepTotals& totals);
  // The same for all batches that this process has in a step. Ends early at a loss that is not
  // finite, and leaves its batch in `broken`. All processes: gradients and result are the sums over
  // all of them; while the last batch goes backward, they are being added up.
  LossTerms accumulate(std::span<const Batch> batches, const StepTotals& totals,
                       const Batch*& broken);
  // The norm of all gradients together; where it is larger than config.clip, the next apply() takes
  // them scaled down to that. Not finite where a gradient is not.
  double clip();
  // The parameter nearest to the loss whose gradient is not finite, "" where all are.
  std::string first_non_finite_gradient() const;
  std::string first_non_finite_parameter() const;
  // AdamW's step, then gradients are dropped. All processes: where the optimiser is shared out,
  // what the next forward pass, with `next_lambda`, needs of the weights is sent around.
  void apply(const Rates& rates, double next_lambda = 1);
  void drop_gradients();

  // All processes, where the optimiser is shared out (else nothing): model and, in the first
  // process, optimiser become whole, as a checkpoint wants them; and are shared out again.
  void gather();
  void share(double next_lambda);
  // Whether a parameter is the same in all processes.
  bool same_everywhere(const torch::Tensor& parameter) const;

  Transformer& model() noexcept { return model_; }
  AdamW& optimizer() noexcept { return *optimizer_; }

 private:
  TrainConfig config_;
  Transformer model_{nullptr};
  std::optional<AdamW> optimizer_;
  Objective objective_;
  double clip_ = 1;  // What the next step multiplies gradients with.
  Processes* processes_;
  std::optional<GradientSum> gradients_;  // Where there are many processes.
  std::optional<WeightShards> shards_;    // Where they share the optimiser out.
};

}  // namespace tern::train
