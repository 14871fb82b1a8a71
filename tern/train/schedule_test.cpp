// Learning rates and shares of quantisation against numbers worked out by hand from the published
// recipes.
#include "tern/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace tern::train {
namespace {

ScheduleConfig schedule(ScheduleKind kind) {
  ScheduleConfig s;
  s.kind = kind;
  s.learning_rate = 1.5e-3;
  s.second_learning_rate = 1e-3;
  s.warmup_steps = 0;
  return s;
}

TEST(Schedule, WarmUpRisesLinearlyAndReachesThePeak) {
  ScheduleConfig s = schedule(ScheduleKind::kConstant);
  s.warmup_steps = 375;
  EXPECT_DOUBLE_EQ(rates(s, 0, 0).learning_rate, 1.5e-3 / 375);
  EXPECT_DOUBLE_EQ(rates(s, 74, 0).learning_rate, 1.5e-3 * 0.2);
  EXPECT_DOUBLE_EQ(rates(s, 374, 0.1).learning_rate, 1.5e-3);
  EXPECT_DOUBLE_EQ(rates(s, 375, 0.1).learning_rate, 1.5e-3);
  EXPECT_DOUBLE_EQ(rates(s, 0, 0).weight_decay, 0.1);
}

// The training FAQ of BitNet b1.58, 700M: 1.5e-3 -> 1e-3 and 0.1 -> 0 at half of the run.
TEST(Schedule, TwoStageFallsOnTwoLinesThatEndInZero) {
  const ScheduleConfig s = schedule(ScheduleKind::kTwoStage);
  EXPECT_DOUBLE_EQ(rates(s, 9, 0).learning_rate, 1.5e-3);
  EXPECT_DOUBLE_EQ(rates(s, 9, 0.25).learning_rate, 1.125e-3);
  EXPECT_NEAR(rates(s, 9, 0.499999).learning_rate, 0.75e-3, 1e-8);
  EXPECT_DOUBLE_EQ(rates(s, 9, 0.499999).weight_decay, 0.1);
  EXPECT_DOUBLE_EQ(rates(s, 9, 0.5).learning_rate, 0.5e-3);
  EXPECT_EQ(rates(s, 9, 0.5).weight_decay, 0);
  EXPECT_DOUBLE_EQ(rates(s, 9, 0.75).learning_rate, 0.25e-3);
  EXPECT_EQ(rates(s, 9, 1).learning_rate, 0);
}

TEST(Schedule, WsdIsFlatThenFalls) {
  ScheduleConfig s = schedule(ScheduleKind::kWsd);
  s.decay_share = 0.2;
  s.final_ratio = 0.1;
  EXPECT_DOUBLE_EQ(rates(s, 0, 0).learning_rate, 1.5e-3);
  EXPECT_DOUBLE_EQ(rates(s, 0, 0.8).learning_rate, 1.5e-3);
  EXPECT_NEAR(rates(s, 0, 0.9).learning_rate, 1.5e-3 * 0.55, 1e-12);
  EXPECT_NEAR(rates(s, 0, 1).learning_rate, 1.5e-4, 1e-12);
  EXPECT_DOUBLE_EQ(rates(s, 0, 1).weight_decay, 0.1);
  s.decay_share = 0;
  EXPECT_DOUBLE_EQ(rates(s, 0, 1).learning_rate, 1.5e-3);
}

TEST(Schedule, CosineAndLinearMeetAtTheirEnds) {
  ScheduleConfig cosine = schedule(ScheduleKind::kCosine), linear = schedule(ScheduleKind::kLinear);
  cosine.final_ratio = linear.final_ratio = 0.2;
  for (const ScheduleConfig& s : {cosine, linear}) {
    EXPECT_DOUBLE_EQ(rates(s, 0, 0).learning_rate, 1.5e-3);
    EXPECT_NEAR(rates(s, 0, 0.5).learning_rate, 0.9e-3, 1e-12);
    EXPECT_NEAR(rates(s, 0, 1).learning_rate, 0.3e-3, 1e-12);
  }
  // cos(60 degrees) is a half: a quarter of the fall is done at a third of the run.
  EXPECT_NEAR(rates(cosine, 0, 1.0 / 3).learning_rate, 1.5e-3 * 0.8, 1e-12);
}

TEST(Schedule, ProgressBeyondTheBudgetIsItsEnd) {
  const ScheduleConfig s = schedule(ScheduleKind::kTwoStage);
  EXPECT_EQ(rates(s, 1, 1.25).learning_rate, 0);
  EXPECT_DOUBLE_EQ(rates(s, 1, -0.5).learning_rate, 1.5e-3);
}

TEST(QuantizationShare, IsWholeWithoutAWarmUp) {
  EXPECT_EQ(quantization_share({WarmupKind::kNone, 1000, 0}, 0), 1);
  for (const WarmupKind kind :
       {WarmupKind::kLinear, WarmupKind::kExponential, WarmupKind::kSigmoid}) {
    EXPECT_EQ(quantization_share({kind, 0, 0}, 0), 1);
    EXPECT_LT(quantization_share({kind, 1, 0}, 0), 1e-20);
    EXPECT_EQ(quantization_share({kind, 1, 0}, 1), 1);
    EXPECT_EQ(quantization_share({kind, 8, 0}, 8), 1);
    EXPECT_EQ(quantization_share({kind, 8, 0}, std::numeric_limits<std::uint64_t>::max()), 1);
  }
}

TEST(QuantizationShare, IsALineOfSteps) {
  const WarmupConfig warmup{WarmupKind::kLinear, 1000, 0};
  EXPECT_EQ(quantization_share(warmup, 0), 0);
  EXPECT_DOUBLE_EQ(quantization_share(warmup, 1), 0.001);
  EXPECT_DOUBLE_EQ(quantization_share(warmup, 250), 0.25);
  EXPECT_DOUBLE_EQ(quantization_share(warmup, 999), 0.999);
}

TEST(QuantizationShare, RisesFastThenSlowlyWhereExponential) {
  EXPECT_EQ(quantization_share({WarmupKind::kExponential, 4, 0}, 0), 0);
  // 1 - (1 - t)^6, and with a k of 2.
  EXPECT_DOUBLE_EQ(quantization_share({WarmupKind::kExponential, 4, 0}, 2), 63.0 / 64);
  EXPECT_DOUBLE_EQ(quantization_share({WarmupKind::kExponential, 4, 2}, 1), 7.0 / 16);
  EXPECT_DOUBLE_EQ(quantization_share({WarmupKind::kExponential, 4, 2}, 3), 15.0 / 16);
}

TEST(QuantizationShare, TurnsInTheMiddleWhereSigmoid) {
  const WarmupConfig warmup{WarmupKind::kSigmoid, 4, 4 * std::log(3)};
  EXPECT_DOUBLE_EQ(quantization_share(warmup, 0), 0.1);  // 1 / (1 + 3^2).
  EXPECT_DOUBLE_EQ(quantization_share(warmup, 1), 0.25);
  EXPECT_DOUBLE_EQ(quantization_share(warmup, 2), 0.5);
  EXPECT_DOUBLE_EQ(quantization_share(warmup, 3), 0.75);
  // A k of 100: e^-1 a hundredth before the middle.
  EXPECT_DOUBLE_EQ(quantization_share({WarmupKind::kSigmoid, 100, 0}, 49), 1 / (1 + std::exp(1)));
}

}  // namespace
}  // namespace tern::train
