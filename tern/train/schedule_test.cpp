// Learning rates against numbers worked out by hand from the published recipe.
#include "tern/train/schedule.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace tern::train
