// Forward, backward, clip, AdamW.
#include "tern/train/stepper.h"

#include <cmath>
#include <limits>

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
          .lambda = 1};
}

Stepper::Stepper(const TrainConfig& config)
    : config_(config), objective_(config, product_type(config.precision)) {
  torch::manual_seed(config.seed);
  model_ = Transformer(transformer_options(config), config.init_std, config.sub_norm_init);
  if (config.lora.rank > 0) add_adapters(model_, config.lora);
  std::vector<torch::Tensor> matrices, vectors;
  for (const torch::Tensor& parameter : model_->parameters()) {
    if (!parameter.requires_grad()) continue;
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
}

LossTerms Stepper::accumulate(const Batch& batch, const StepTotals& totals) {
  return objective_.accumulate(model_, batch, totals);
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

void Stepper::apply(const Rates& rates) {
  for (std::size_t i = 0; i < optimizer_->param_groups().size(); ++i) {
    auto& options =
        static_cast<torch::optim::AdamWOptions&>(optimizer_->param_groups()[i].options());
    options.lr(rates.learning_rate);
    options.weight_decay(i == 0 ? rates.weight_decay : 0);
  }
  optimizer_->step();
  drop_gradients();
}

void Stepper::drop_gradients() { optimizer_->zero_grad(); }

}  // namespace tern::train
