// The sampler chain against hand-computed distributions; stop strings across pieces.
#include "tern/engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "tern/base/error.h"
#include "tern/engine/generator.h"

namespace tern::engine {
namespace {

SamplerParams everything_off() {
  SamplerParams p;
  p.temperature = 1;
  p.top_k = 0;
  p.top_p = 1;
  p.min_p = 0;
  return p;
}

// Logits whose softmax is 0.4, 0.3, 0.2, 0.1 for ids 2, 0, 3, 1.
const std::vector<float> kLogits{std::log(0.3f), std::log(0.1f), std::log(0.4f), std::log(0.2f)};

std::map<std::uint32_t, double> frequencies(SamplerParams params, int draws = 40000) {
  Sampler sampler(params);
  std::map<std::uint32_t, double> f;
  for (int i = 0; i < draws; ++i) f[sampler.sample(kLogits)] += 1.0 / draws;
  return f;
}

TEST(Sampler, DrawsFromTheSoftmax) {
  auto f = frequencies(everything_off());
  EXPECT_NEAR(f[2], 0.4, 0.01);
  EXPECT_NEAR(f[0], 0.3, 0.01);
  EXPECT_NEAR(f[3], 0.2, 0.01);
  EXPECT_NEAR(f[1], 0.1, 0.01);
}

TEST(Sampler, TemperatureZeroTakesTheBestAndTheLowerIdOfEquals) {
  SamplerParams p = everything_off();
  p.temperature = 0;
  EXPECT_EQ(Sampler(p).sample(kLogits), 2u);
  EXPECT_EQ(Sampler(p).sample(std::vector<float>{1, 5, 5, 0}), 1u);
}

TEST(Sampler, TemperatureSharpens) {
  SamplerParams p = everything_off();
  p.temperature = 0.5;  // Squares the probabilities: 0.16, 0.09, 0.04, 0.01 over 0.30.
  auto f = frequencies(p);
  EXPECT_NEAR(f[2], 0.16 / 0.30, 0.01);
  EXPECT_NEAR(f[1], 0.01 / 0.30, 0.005);
}

TEST(Sampler, FiltersKeepWhatTheyShould) {
  SamplerParams p = everything_off();
  p.top_k = 2;
  auto f = frequencies(p, 4000);
  EXPECT_EQ(f.size(), 2u);
  EXPECT_NEAR(f[2], 4.0 / 7, 0.03);

  p = everything_off();
  p.top_p = 0.65;  // 0.4 + 0.3 reach it.
  f = frequencies(p, 4000);
  EXPECT_EQ(f.size(), 2u);
  EXPECT_TRUE(f.contains(0));

  p = everything_off();
  p.min_p = 0.45;  // At least 0.18: ids 2, 0, 3.
  f = frequencies(p, 4000);
  EXPECT_EQ(f.size(), 3u);
  EXPECT_FALSE(f.contains(1));

  // Entropy 1.28; distances to it: -ln 0.3 0.08, -ln 0.2 0.33, -ln 0.4 0.36, -ln 0.1 1.02.
  p = everything_off();
  p.typical_p = 0.45;  // 0.3 + 0.2 exceed it.
  f = frequencies(p, 4000);
  EXPECT_EQ(f.size(), 2u);
  EXPECT_TRUE(f.contains(0) && f.contains(3));
}

TEST(Sampler, PenaltiesCountWhatWasSeen) {
  SamplerParams p = everything_off();
  p.temperature = 0;
  p.repeat_penalty = 2;
  const std::vector<float> logits{3, 2, -1};
  Sampler repeat(p);
  repeat.accept(0);
  EXPECT_EQ(repeat.sample(logits), 1u);  // 3 / 2 < 2.
  const std::vector<float> negative{-1, -1.5f};
  EXPECT_EQ(repeat.sample(negative), 1u);  // -1 * 2 < -1.5.

  p = everything_off();
  p.temperature = 0;
  p.frequency_penalty = 0.6;
  Sampler frequency(p);
  frequency.accept(0);
  EXPECT_EQ(frequency.sample(logits), 0u);  // 3 - 0.6 > 2.
  frequency.accept(0);
  EXPECT_EQ(frequency.sample(logits), 1u);  // 3 - 1.2 < 2.

  p.frequency_penalty = 0;
  p.presence_penalty = 1.5;
  p.repeat_last_n = 1;
  Sampler presence(p);
  presence.accept(0);
  EXPECT_EQ(presence.sample(logits), 1u);
  presence.accept(2);  // Pushes 0 out of the window.
  EXPECT_EQ(presence.sample(logits), 0u);
}

TEST(Sampler, SameSeedSameTokens) {
  SamplerParams p;
  p.seed = 7;
  Sampler a(p), b(p);
  p.seed = 8;
  Sampler c(p);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const auto id = a.sample(kLogits);
    EXPECT_EQ(id, b.sample(kLogits));
    differs |= id != c.sample(kLogits);
  }
  EXPECT_TRUE(differs);
}

TEST(Sampler, RefusesBrokenLogitsAndParams) {
  EXPECT_THROW(Sampler(everything_off()).sample(std::vector<float>{1, std::nanf("")}), Error);
  SamplerParams p;
  p.top_p = 0;
  EXPECT_THROW(Sampler{p}, Error);
  p = {};
  p.repeat_penalty = 0;
  EXPECT_THROW(Sampler{p}, Error);
}

TEST(LogSoftmax, SumsToOneAndSurvivesLargeLogits) {
  const std::vector<float> logits{1000, 999, -1000};
  std::vector<double> logprobs(3);
  log_softmax(logits, logprobs);
  EXPECT_NEAR(logprobs[0], -std::log(1 + std::exp(-1.0)), 1e-12);
  EXPECT_NEAR(logprobs[1], logprobs[0] - 1, 1e-12);
}

TEST(StopFilter, HoldsBackOnlyWhatMayBeAStop) {
  StopFilter filter({"END", "\n\n"});
  EXPECT_EQ(filter.push("abc"), "abc");
  EXPECT_EQ(filter.push("dE"), "d");
  EXPECT_EQ(filter.push("N"), "");
  EXPECT_EQ(filter.push("x"), "ENx");
  EXPECT_EQ(filter.push("y\n"), "y");
  EXPECT_EQ(filter.push("zEND more"), "\nz");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.push("ignored"), "");

  StopFilter overlapping({"aab"});
  EXPECT_EQ(overlapping.push("aa"), "");
  EXPECT_EQ(overlapping.push("a"), "a");
  EXPECT_EQ(overlapping.push("b!"), "");
  EXPECT_TRUE(overlapping.stopped());

  StopFilter unfinished({"STOP"});
  EXPECT_EQ(unfinished.push("a STO"), "a ");
  EXPECT_EQ(unfinished.finish(), "STO");
  EXPECT_THROW(StopFilter({""}), Error);
}

}  // namespace
}  // namespace tern::engine
