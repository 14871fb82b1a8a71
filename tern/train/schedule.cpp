// The rates of a step: one factor for the warm-up, one line or curve for the rest; and how much of
// the quantisation holds in it.
#include "tern/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tern::train {
namespace {

double warmup_factor(std::uint64_t step, std::uint64_t steps) noexcept {
  if (step >= steps) return 1;
  return static_cast<double>(step + 1) / static_cast<double>(steps);
}

// What is left of the peak when `t` of the fall, in [0, 1], is done.
double fall(double t, double final_ratio) noexcept { return 1 + t * (final_ratio - 1); }

Rates after_warmup(const ScheduleConfig& s, double progress) noexcept {
  switch (s.kind) {
    case ScheduleKind::kTwoStage:
      if (progress < s.switch_at) return {s.learning_rate * (1 - progress), s.weight_decay};
      return {s.second_learning_rate * (1 - progress), s.second_weight_decay};
    case ScheduleKind::kWsd: {
      const double start = 1 - s.decay_share;
      if (progress <= start) return {s.learning_rate, s.weight_decay};
      const double t = (progress - start) / s.decay_share;
      return {s.learning_rate * fall(t, s.final_ratio), s.weight_decay};
    }
    case ScheduleKind::kCosine: {
      const double t = (1 - std::cos(std::numbers::pi * progress)) / 2;
      return {s.learning_rate * fall(t, s.final_ratio), s.weight_decay};
    }
    case ScheduleKind::kLinear:
      return {s.learning_rate * fall(progress, s.final_ratio), s.weight_decay};
    case ScheduleKind::kConstant:
      break;
  }
  return {s.learning_rate, s.weight_decay};
}

}  // namespace

Rates rates(const ScheduleConfig& schedule, std::uint64_t step, double progress) noexcept {
  Rates r = after_warmup(schedule, std::clamp(progress, 0.0, 1.0));
  r.learning_rate *= warmup_factor(step, schedule.warmup_steps);
  return r;
}

double quantization_share(const WarmupConfig& warmup, std::uint64_t step) noexcept {
  if (warmup.kind == WarmupKind::kNone || step >= warmup.steps) return 1;
  const double t = static_cast<double>(step) / static_cast<double>(warmup.steps);
  const double k = warmup.sharpness;
  switch (warmup.kind) {
    case WarmupKind::kExponential:
      return 1 - std::pow(1 - t, k > 0 ? k : 6);
    case WarmupKind::kSigmoid:
      return 1 / (1 + std::exp(-(k > 0 ? k : 100) * (t - 0.5)));
    default:
      return t;
  }
}

}  // namespace tern::train
