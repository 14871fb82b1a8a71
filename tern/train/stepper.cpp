// Forward, backward, clip, AdamW.
#include "tern/train/stepper.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/train/lora.h"

namespace tern::train {

torch::Dtype product_type(Precision precision) noexcept {
  if (precision == Precision::kAuto) {
    return cpu_features().avx512bf16 || cpu_features().amx_bf16 ? torch::kBFloat16
                                                                : torch::kFloat32;
  }
  return precision == Precision::kBFloat16 ? torch::kBFloat16 : torch::kFloat32;
}

TransformerOptions transformer_options(const TrainConfig& config) {
  return {.config = config.model,
          .format = {.kind = config.weights,
                     .scale = config.scale,
                     .group = static_cast<std::int64_t>(config.group)},
          .product_type = product_type(config.precision),
          .lambda = 1,
          .products = config.products};
}

Stepper::Stepper(const TrainConfig& config, Processes* processes)
    : config_(config),
      objective_(config, product_type(config.precision)),
      processes_(processes != nullptr && processes->many() ? processes : nullptr) {
  torch::manual_seed(config.seed);
  model_ = Transformer(transformer_options(config), config.init_std, config.sub_norm_init);
  if (config.lora.rank > 0) add_adapters(model_, config.lora);
  optimizer_.emplace(model_->named_parameters(),
                     AdamWOptions{config.beta1, config.beta2, config.epsilon});
  if (processes_ == nullptr) return;
  if (config_.distributed.shard_optimizer) shards_.emplace(*processes_, model_, *optimizer_);
  std::vector<torch::Tensor> trained;
  for (const AdamW::Slot& slot : optimizer_->slots()) trained.push_back(slot.parameter);
  gradients_.emplace(*processes_, trained,
                     static_cast<std::size_t>(config_.distributed.bucket_megabytes * 1e6));
}

LossTerms Stepper::accumulate(const Batch& batch, const StepTotals& totals) {
  return objective_.accumulate(model_, batch, totals);
}

LossTerms Stepper::accumulate(std::span<const Batch> batches, const StepTotals& totals,
                              const Batch*& broken) {
  broken = nullptr;
  if (gradients_) gradients_->begin();
  LossTerms terms;
  for (const Batch& batch : batches) {
    if (gradients_ && &batch == &batches.back()) gradients_->last();
    const LossTerms part = accumulate(batch, totals);
    terms += part;
    if (!std::isfinite(part.total)) {
      broken = &batch;
      break;
    }
  }
  if (!gradients_) return terms;
  gradients_->finish();
  std::array sums{terms.total, terms.text, terms.logits, terms.attention};
  processes_->sum(sums);
  return {.total = sums[0], .text = sums[1], .logits = sums[2], .attention = sums[3]};
}

double Stepper::clip() {
  const double norm = optimizer_->gradient_norm();
  // As torch's clip_grad_norm_, which adds this to the norm.
  constexpr double kLeast = 1e-6;
  clip_ = config_.clip > 0 ? std::min(1.0, config_.clip / (norm + kLeast)) : 1.0;
  return norm;
}

std::string Stepper::first_non_finite_gradient() const {
  const auto parameters = model_->named_parameters();
  for (std::size_t i = parameters.size(); i-- > 0;) {
    const torch::Tensor& gradient = parameters[i].value().grad();
    if (gradient.defined() && !gradient.isfinite().all().item<bool>()) return parameters[i].key();
  }
  return "";
}

std::string Stepper::first_non_finite_parameter() const {
  for (const auto& p : model_->named_parameters()) {
    if (!p.value().isfinite().all().item<bool>()) return p.key();
  }
  return "";
}

void Stepper::apply(const Rates& rates, double next_lambda) {
  optimizer_->step(rates, clip_);
  drop_gradients();
  if (shards_) shards_->send(next_lambda);
}

void Stepper::gather() {
  if (shards_) shards_->gather();
}

void Stepper::share(double next_lambda) {
  if (!shards_) return;
  shards_->forget();
  shards_->send(next_lambda);
}

bool Stepper::same_everywhere(const torch::Tensor& parameter) const {
  return !shards_ || !shards_->shared_out(parameter);
}

void Stepper::drop_gradients() {
  optimizer_->drop_gradients();
  clip_ = 1;
}

}  // namespace tern::train
