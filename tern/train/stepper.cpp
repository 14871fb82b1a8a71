// Forward, backward, clip, AdamW.
#include "tern/train/stepper.h"

#include <array>
#include <cmath>
#include <limits>

#include "tern/base/error.h"
#include "tern/base/system.h"

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
          .lambda = 1};
}

Stepper::Stepper(const TrainConfig& config, Processes* processes)
    : config_(config),
      objective_(config, product_type(config.precision)),
      processes_(processes != nullptr && processes->many() ? processes : nullptr) {
  if (config.lora.rank > 0) {
    throw Error(ErrorCode::kUnsupported,
                "lora.rank found, expected none: there are no adapters yet");
  }
  torch::manual_seed(config.seed);
  model_ = Transformer(transformer_options(config), config.init_std, config.sub_norm_init);
  if (processes_ != nullptr && config_.distributed.shard_optimizer) {
    shards_.emplace(*processes_, model_);
  }
  std::vector<torch::Tensor> matrices, vectors;
  for (const torch::Tensor& parameter : model_->parameters()) {
    if (shards_ && shards_->foreign(parameter)) continue;
    (parameter.dim() >= 2 ? matrices : vectors).push_back(parameter);
  }
  const auto options = [&] {
    auto made = std::make_unique<torch::optim::AdamWOptions>(config.schedule.learning_rate);
    made->betas({config.beta1, config.beta2}).eps(config.epsilon).weight_decay(0);
    return made;
  };
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(std::move(matrices), options());
  groups.emplace_back(std::move(vectors), options());
  optimizer_ = std::make_unique<torch::optim::AdamW>(std::move(groups), *options());
  if (processes_ == nullptr) return;
  std::vector<torch::Tensor> trained;
  for (const torch::Tensor& parameter : model_->parameters()) {
    if (parameter.requires_grad()) trained.push_back(parameter);
  }
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
  return torch::nn::utils::clip_grad_norm_(
      model_->parameters(),
      config_.clip > 0 ? config_.clip : std::numeric_limits<double>::infinity());
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
  for (std::size_t i = 0; i < optimizer_->param_groups().size(); ++i) {
    auto& options =
        static_cast<torch::optim::AdamWOptions&>(optimizer_->param_groups()[i].options());
    options.lr(rates.learning_rate);
    options.weight_decay(i == 0 ? rates.weight_decay : 0);
  }
  optimizer_->step();
  drop_gradients();
  if (shards_) shards_->send(next_lambda);
}

void Stepper::gather() {
  if (shards_) shards_->gather(*optimizer_);
}

void Stepper::share(double next_lambda) {
  if (!shards_) return;
  shards_->forget(*optimizer_);
  shards_->send(next_lambda);
}

bool Stepper::same_everywhere(const torch::Tensor& parameter) const {
  return !shards_ || !shards_->shared_out(parameter);
}

void Stepper::drop_gradients() { optimizer_->zero_grad(); }

}  // namespace tern::train
