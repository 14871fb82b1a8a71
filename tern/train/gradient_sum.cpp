// Hooks behind the nodes that accumulate gradients.
#include "tern/train/gradient_sum.h"

#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <utility>

namespace tern::train {

using torch::Tensor;

GradientSum::GradientSum(Processes& processes, const std::vector<Tensor>& parameters,
                         std::size_t bucket_bytes)
    : processes_(processes) {
  std::size_t bytes = 0;
  for (std::size_t i = parameters.size(); i-- > 0;) {
    const std::size_t more = parameters[i].nbytes();
    if (buckets_.empty() || bytes + more > bucket_bytes) {
      buckets_.emplace_back();
      bytes = 0;
    }
    buckets_.back().parameters.push_back(parameters[i]);
    bytes += more;
  }
  const torch::NoGradGuard no_grad;
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    Bucket& bucket = buckets_[b];
    std::int64_t size = 0;
    for (const Tensor& parameter : bucket.parameters) size += parameter.numel();
    bucket.values = torch::zeros({size});
    std::int64_t offset = 0;
    for (const Tensor& parameter : bucket.parameters) {
      // No view in autograd's sense: the optimiser detaches gradients in place.
      Tensor view = torch::empty({0});
      view.set_(bucket.values.storage(), offset, parameter.sizes());
      offset += parameter.numel();
      bucket.views.push_back(view);
      auto node = torch::autograd::impl::grad_accumulator(parameter);
      const auto hook = [this, b](const auto& outputs, const auto&) {
        ready(buckets_[b]);
        return outputs;
      };
      const std::uintptr_t key =
          node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(hook));
      hooks_.emplace_back(std::move(node), key);
    }
  }
}

GradientSum::~GradientSum() {
  for (const auto& [node, key] : hooks_) node->del_post_hook(key);
}

void GradientSum::begin() {
  started_ = 0;
  last_ = false;
  for (Bucket& bucket : buckets_) {
    bucket.missing = bucket.parameters.size();
    bucket.values.zero_();
    for (std::size_t i = 0; i < bucket.parameters.size(); ++i) {
      bucket.parameters[i].mutable_grad() = bucket.views[i];
    }
  }
}

void GradientSum::last() { last_ = true; }

void GradientSum::ready(Bucket& bucket) {
  if (!last_) return;
  --bucket.missing;
  start_ready();
}

void GradientSum::start_ready() {
  while (started_ < buckets_.size() && buckets_[started_].missing == 0) {
    buckets_[started_].wait = processes_.begin_sum(buckets_[started_].values);
    ++started_;
  }
}

void GradientSum::finish() {
  for (Bucket& bucket : buckets_) bucket.missing = 0;
  start_ready();
  for (Bucket& bucket : buckets_) bucket.wait();
  last_ = false;
}

}  // namespace tern::train
