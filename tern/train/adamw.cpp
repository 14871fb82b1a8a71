// Pieces of every parameter, split among libtorch's threads.
#include "tern/train/adamw.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "tern/train/row_math.h"

namespace tern::train {
namespace {

constexpr std::int64_t kPiece = 16384;

// Calls body(first, count) for pieces of `n` elements.
template <typename Body>
void for_each_piece(std::int64_t n, Body&& body) {
  at::parallel_for(0, (n + kPiece - 1) / kPiece, 2, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i * kPiece, std::min(kPiece, n - i * kPiece));
  });
}

}  // namespace

AdamW::AdamW(const torch::OrderedDict<std::string, torch::Tensor>& parameters,
             const AdamWOptions& options)
    : options_(options) {
  for (const auto& p : parameters) {
    if (p.value().requires_grad()) slots_.push_back({p.key(), p.value(), {}, {}});
  }
}

void AdamW::step(const Rates& rates, double clip) {
  const torch::NoGradGuard no_grad;
  for (Slot& slot : slots_) {
    if (slot.foreign || !slot.parameter.grad().defined()) continue;
    const torch::Tensor gradient = slot.parameter.grad().contiguous();
    if (!slot.exp_avg.defined()) {
      slot.exp_avg = torch::zeros(slot.parameter.sizes(), torch::kFloat32);
      slot.exp_avg_sq = torch::zeros(slot.parameter.sizes(), torch::kFloat32);
    }
    ++slot.step;
    const double decay = slot.parameter.dim() >= 2 ? rates.weight_decay : 0;
    const double first = 1 - std::pow(options_.beta1, static_cast<double>(slot.step));
    const double second = 1 - std::pow(options_.beta2, static_cast<double>(slot.step));
    const rows::AdamStep numbers{.clip = static_cast<float>(clip),
                                 .keep = static_cast<float>(1 - rates.learning_rate * decay),
                                 .beta1 = static_cast<float>(options_.beta1),
                                 .beta2 = static_cast<float>(options_.beta2),
                                 .size = static_cast<float>(rates.learning_rate / first),
                                 .root = static_cast<float>(1 / std::sqrt(second)),
                                 .epsilon = static_cast<float>(options_.epsilon)};
    float* w = slot.parameter.data_ptr<float>();
    const float* g = gradient.data_ptr<float>();
    float* m = slot.exp_avg.data_ptr<float>();
    float* v = slot.exp_avg_sq.data_ptr<float>();
    for_each_piece(slot.parameter.numel(), [&](std::int64_t at, std::int64_t count) {
      rows::adam_step(numbers, g + at, count, w + at, m + at, v + at);
    });
    // Quantised copies are made anew when they see another version.
    slot.parameter.unsafeGetTensorImpl()->bump_version();
  }
}

void AdamW::drop_gradients() {
  for (Slot& slot : slots_) slot.parameter.mutable_grad() = torch::Tensor();
}

double AdamW::gradient_norm() const {
  double total = 0;
  for (const Slot& slot : slots_) {
    if (!slot.parameter.grad().defined()) continue;
    const torch::Tensor gradient = slot.parameter.grad().contiguous();
    const float* g = gradient.data_ptr<float>();
    const std::int64_t n = gradient.numel();
    std::vector<double> sums(static_cast<std::size_t>((n + kPiece - 1) / kPiece));
    for_each_piece(n, [&](std::int64_t at, std::int64_t count) {
      sums[static_cast<std::size_t>(at / kPiece)] =
          static_cast<double>(rows::dot(g + at, g + at, count));
    });
    for (const double sum : sums) total += sum;
  }
  return std::sqrt(total);
}

}  // namespace tern::train
