// Forward passes of student and teacher, and the weighted sum of what they differ by.
#include "tern/train/objective.h"

#include <cmath>

#include "tern/base/error.h"
#include "tern/train/distillation.h"
#include "tern/train/start_model.h"

namespace tern::train {
namespace {

using torch::Tensor;

// The rows of a batch whose targets count, side by side.
struct Counted {
  Tensor rows;  // Indices into (windows * sequence), or undefined: all.

  explicit Counted(const Batch& batch) {
    if (batch.weights.defined()) rows = batch.weights.reshape({-1}).nonzero().squeeze(1);
  }
  Tensor of(const Tensor& t) const {
    const Tensor flat = t.dim() == 3 ? t.reshape({-1, t.size(2)}) : t.reshape({-1});
    return rows.defined() ? flat.index_select(0, rows) : flat;
  }
};

Tensor summed_loss(const Tensor& logits, const Tensor& targets) {
  namespace nn = torch::nn::functional;
  return nn::cross_entropy(logits, targets, nn::CrossEntropyFuncOptions().reduction(torch::kSum));
}

std::size_t layer_of(std::int64_t wanted, std::size_t layers, const char* whose) {
  const std::int64_t count = static_cast<std::int64_t>(layers);
  const std::int64_t layer = wanted < 0 ? wanted + count : wanted;
  if (layer < 0 || layer >= count) {
    throw Error(ErrorCode::kBadArgument, "distil.layer of " + std::to_string(wanted) +
                                             " found, but the " + whose + " has " +
                                             std::to_string(layers) + " layers");
  }
  return static_cast<std::size_t>(layer);
}

// Before a run begins, not in its first step.
void check_relation_heads(std::size_t heads, const arch::ModelConfig& model, const char* whose) {
  for (const std::size_t width : {model.q_width(), model.kv_width()}) {
    if (width % heads == 0) continue;
    throw Error(ErrorCode::kBadArgument,
                std::to_string(heads) + " relation heads found, expected a divisor of the " +
                    std::to_string(width) + " columns of the attention states of the " + whose);
  }
}

}  // namespace

LossTerms& LossTerms::operator+=(const LossTerms& other) noexcept {
  total += other.total;
  text += other.text;
  logits += other.logits;
  attention += other.attention;
  return *this;
}

Tensor mean_loss(Transformer& model, const Batch& batch) {
  const Counted counted(batch);
  const Tensor hidden = counted.of(model->hidden_states(batch.tokens, batch.segments));
  return model->summed_loss(hidden, counted.of(batch.targets)) / batch.targets_counted();
}

Objective::Objective(const TrainConfig& config, torch::Dtype product_type)
    : distil_(config.distil), reduction_(config.loss) {
  if (distil_.teacher.empty()) return;
  teacher_ = open_teacher(distil_.teacher, product_type);
  const arch::ModelConfig& teacher = (*teacher_)->options().config;
  if (teacher.vocab != config.model.vocab) {
    throw Error(ErrorCode::kBadArgument,
                distil_.teacher.string() + ": a teacher of " + std::to_string(teacher.vocab) +
                    " pieces found, expected the student's vocabulary of " +
                    std::to_string(config.model.vocab));
  }
  student_layer_ = layer_of(distil_.layer, config.model.layers, "student");
  teacher_layer_ = layer_of(distil_.layer, teacher.layers, "teacher");
  const std::size_t heads =
      distil_.relation_heads > 0 ? distil_.relation_heads : config.model.kv_heads;
  if (distil_.attention > 0) {
    check_relation_heads(heads, config.model, "student");
    check_relation_heads(heads, teacher, "teacher");
  }
  relation_heads_ = static_cast<std::int64_t>(heads);
}

LossTerms Objective::accumulate(Transformer& model, const Batch& batch, const StepTotals& totals) {
  using Capture = TransformerImpl::Capture;
  const bool relations = teacher_ && distil_.attention > 0;
  const double share = static_cast<double>(batch.tokens.size(0)) / totals.windows;
  const Counted counted(batch);
  Capture student{student_layer_, {}};
  const Tensor hidden = counted.of(
      model->hidden_states(batch.tokens, batch.segments, relations ? &student : nullptr));
  const Tensor targets = counted.of(batch.targets);
  Tensor logits;  // All at once only where a teacher's meet them.
  if (teacher_ && distil_.logits > 0) logits = model->logits(hidden);
  const Tensor text =
      (logits.defined() ? summed_loss(logits, targets) : model->summed_loss(hidden, targets)) /
      totals.targets;
  LossTerms terms;
  terms.text = text.item<double>();
  Tensor loss = teacher_ ? text * distil_.text : text;
  if (teacher_) {
    Capture taught{teacher_layer_, {}};
    Tensor teacher_logits;
    {
      const torch::NoGradGuard no_grad;
      const Tensor h =
          (*teacher_)->hidden_states(batch.tokens, batch.segments, relations ? &taught : nullptr);
      if (distil_.logits > 0) teacher_logits = (*teacher_)->logits(counted.of(h));
    }
    if (distil_.logits > 0) {
      const Tensor term =
          logit_divergence(logits, teacher_logits, distil_.temperature, {}) / totals.targets;
      terms.logits = term.item<double>();
      loss = loss + term * distil_.logits;
    }
    if (relations) {
      const Tensor term =
          relation_divergence(student.states, taught.states, relation_heads_, batch.segments) *
          share;
      terms.attention = term.item<double>();
      loss = loss + term * distil_.attention;
    }
  }
  terms.total = loss.item<double>();
  if (!std::isfinite(terms.total)) return terms;
  (reduction_ == LossReduction::kSum ? loss * totals.targets : loss).backward();
  return terms;
}

}  // namespace tern::train
