// What a training step makes smaller: the text's cross-entropy, and what a teacher adds to it.
//
//   L = text * CE + logits * KL(teacher || student) + attention * (relations of one layer)
//
// Each term is a mean over the targets of the whole step (attention: over its windows), however the
// step is split into batches and processes; training.loss = "sum" multiplies L by the number of
// targets.
#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>

#include "tern/train/batch.h"
#include "tern/train/config.h"
#include "tern/train/transformer.h"

namespace tern::train {

// Of a whole step, over all its batches and processes.
struct StepTotals {
  double targets = 0;  // That count.
  double windows = 0;
};

// Shares of a batch in the step's L and its terms, before they are weighted.
struct LossTerms {
  double total = 0;  // L, as a mean.
  double text = 0, logits = 0, attention = 0;
  LossTerms& operator+=(const LossTerms& other) noexcept;
};

// Mean cross-entropy in nats of the targets of `batch` that count.
torch::Tensor mean_loss(Transformer& model, const Batch& batch);

class Objective {
 public:
  // Opens the teacher, where the config has one. Throws Error naming what does not fit: a teacher
  // with another vocabulary, a layer that it or the student does not have, or relation heads
  // that do not divide the states of both.
  Objective(const TrainConfig& config, torch::Dtype product_type);

  // Adds the batch's gradients to the model's. A loss that is not finite leaves none.
  LossTerms accumulate(Transformer& model, const Batch& batch, const StepTotals& totals);

  bool distils() const noexcept { return teacher_.has_value(); }

 private:
  DistilConfig distil_;
  LossReduction reduction_;
  std::optional<Transformer> teacher_;
  std::size_t student_layer_ = 0, teacher_layer_ = 0;
  std::int64_t relation_heads_ = 0;
};

}  // namespace tern::train
