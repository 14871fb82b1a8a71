// The sampler picks the same tokens from the few logits that it asks for as from all of them.
#include <gtest/gtest.h>

#include <cmath>

#include "tern/base/error.h"
#include "tern/engine/sampler.h"
#include "tern/model/head_test_util.h"

namespace tern::engine {
namespace {

struct Case {
  const char* name;
  SamplerParams params;
};

std::vector<Case> cases() {
  SamplerParams greedy, off, chain, min_p, penalised, lifted, typical, hot;
  greedy.temperature = 0;
  off.top_k = 0;
  off.top_p = 1;
  off.min_p = 0;
  off.temperature = 1;
  min_p = off;
  min_p.min_p = 0.02;
  penalised.repeat_penalty = 1.3;
  penalised.frequency_penalty = 0.2;
  penalised.repeat_last_n = 20;
  lifted = greedy;
  lifted.presence_penalty = -0.5;
  lifted.repeat_last_n = 5;
  typical.typical_p = 0.9;
  hot = min_p;
  hot.temperature = 3;
  hot.repeat_penalty = 0.9;
  SamplerParams k1 = off;
  k1.top_k = 3;
  return {{"greedy", greedy},     {"default chain", chain},
          {"min-p alone", min_p}, {"penalties", penalised},
          {"lifted", lifted},     {"typical after top-k", typical},
          {"hot", hot},           {"top-k alone", k1}};
}

TEST(FewLogits, GiveTheTokensOfAll) {
  constexpr std::size_t kVocab = 700, kSteps = 150, kWidth = 256;
  std::mt19937 rng(20261206);
  ThreadPool pool(2);
  const auto checkpoint = std::make_shared<model::HeadOnly>(kVocab, 1, rng);
  std::memcpy(checkpoint->row(501), checkpoint->row(7), model::kQ6KBytes);  // A tie for ever.
  for (const auto* table : kernels::all_tables()) {
    if (!kernels::table_supported(*table)) continue;
    const model::Model model(checkpoint, *table, 0, pool);
    model::Head head(model);
    for (const Case& c : cases()) {
      SamplerParams params = c.params;
      params.seed = 42;
      Sampler all(params), few(params);
      std::vector<float> logits(kVocab);
      std::vector<model::TokenLogit> list;
      std::size_t distinct = 0, last = kVocab;
      for (std::size_t step = 0; step < kSteps; ++step) {
        auto hidden = model::hidden_states(kWidth, rng);
        for (float& v : hidden) v *= 2;
        head.logits(hidden, logits, pool);
        const std::uint32_t want = all.sample(logits);
        const auto request = few.request();
        ASSERT_TRUE(request) << c.name;
        head.best(hidden, {&*request, 1}, {&list, 1}, pool);
        ASSERT_EQ(few.sample(std::span<const model::TokenLogit>(list)), want)
            << c.name << ", " << kernels::table_name(*table) << ", step " << step;
        all.accept(want);
        few.accept(want);
        distinct += want != last;
        last = want;
      }
      EXPECT_GT(distinct, kSteps / 4) << c.name;  // The test sees choices, not one token.
    }
  }
}

TEST(FewLogits, AreNotEnoughForChainsOverAll) {
  SamplerParams p;
  p.top_k = 0;  // Top-p over all.
  EXPECT_FALSE(Sampler(p).request());
  p.top_p = 1;
  EXPECT_TRUE(Sampler(p).request());  // Min-p alone.
  p.typical_p = 0.5;
  EXPECT_FALSE(Sampler(p).request());
  p.typical_p = 1;
  p.min_p = 0;
  EXPECT_FALSE(Sampler(p).request());
  p.temperature = 0;
  EXPECT_EQ(Sampler(p).request()->count, 1u);
}

TEST(FewLogits, RefuseWhatIsNotFinite) {
  const std::vector<model::TokenLogit> list{{3, 1.0f}, {9, HUGE_VALF}};
  EXPECT_THROW(Sampler({}).sample(std::span<const model::TokenLogit>(list)), Error);
}

}  // namespace
}  // namespace tern::engine
