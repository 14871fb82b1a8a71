// Kinds side by side, one step of each after the other.
#include "tern/train/step_bench.h"

#include <algorithm>
#include <memory>

#include "tern/base/system.h"
#include "tern/base/thread_pool.h"
#include "tern/train/stepper.h"

namespace tern::train {
namespace {

Batch random_batch(const TrainConfig& config) {
  const auto rows = static_cast<std::int64_t>(config.batch);
  const auto sequence = static_cast<std::int64_t>(config.sequence);
  const torch::Tensor ids =
      torch::randint(0, static_cast<std::int64_t>(config.model.vocab), {rows, sequence + 1});
  return {ids.slice(1, 0, sequence), ids.slice(1, 1, sequence + 1), {}, {}};
}

double one_step(Stepper& stepper, const TrainConfig& config, const std::vector<Batch>& batches) {
  StepTotals totals;
  totals.windows = static_cast<double>(config.batch * config.accumulate);
  totals.targets = totals.windows * static_cast<double>(config.sequence);
  LossTerms terms;
  for (const Batch& batch : batches) terms += stepper.accumulate(batch, totals);
  stepper.clip();
  stepper.apply({config.schedule.learning_rate, config.schedule.weight_decay});
  return terms.total;
}

}  // namespace

const std::vector<StepKind>& step_kinds() {
  static const std::vector<StepKind> kinds{
      {"b1.58", "ternary weights on tern's kernels", WeightKind::kTernary, Products::kTern},
      {"b1.58-libtorch", "the same model on plain libtorch", WeightKind::kTernary,
       Products::kLibtorch},
      {"fp", "the twin in full precision, products of the same type", WeightKind::kFullPrecision,
       Products::kTern},
  };
  return kinds;
}

std::vector<StepTiming> bench_steps(const TrainConfig& config,
                                    const std::vector<const StepKind*>& kinds, std::size_t steps,
                                    const std::function<void()>& on_step) {
  torch::set_num_threads(static_cast<int>(config.threads > 0 ? config.threads : default_threads()));
  std::vector<std::unique_ptr<Stepper>> steppers;
  std::vector<StepTiming> timings;
  reset_peak_resident();
  for (const StepKind* kind : kinds) {
    TrainConfig c = config;
    c.weights = kind->weights;
    c.products = kind->products;
    steppers.push_back(std::make_unique<Stepper>(c));
    StepTiming timing;
    timing.name = kind->name;
    for (const torch::Tensor& p : steppers.back()->model()->parameters()) {
      timing.parameters += static_cast<std::uint64_t>(p.numel());
    }
    timing.state_bytes = 4 * sizeof(float) * timing.parameters;
    timings.push_back(std::move(timing));
  }
  for (std::size_t step = 0; step <= steps; ++step) {
    std::vector<Batch> batches;
    for (std::size_t i = 0; i < config.accumulate; ++i) batches.push_back(random_batch(config));
    for (std::size_t k = 0; k < steppers.size(); ++k) {
      const double start = monotonic_seconds();
      const double loss = one_step(*steppers[k], config, batches);
      if (step > 0) timings[k].seconds.push_back(monotonic_seconds() - start);
      if (step == 0) timings[k].first_loss = loss;
      timings[k].last_loss = loss;
      if (on_step) on_step();
    }
  }
  if (timings.size() == 1) timings[0].peak_bytes = peak_resident_bytes();
  return timings;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n == 0 ? 0 : n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

}  // namespace tern::train
