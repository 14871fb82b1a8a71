// The generation loop on a tiny model: why texts end, and that they do not depend on how they are
// computed.
#include "tern/engine/generator.h"

#include <gtest/gtest.h>

#include "tern/base/error.h"
#include "tern/engine/engine_test_util.h"

namespace tern::engine {
namespace {

class GeneratorTest : public testing::Test {
 protected:
  static constexpr std::size_t kContext = 40;

  GeneratorTest()
      : pool_(2),
        model_(checkpoint::open_checkpoint(TERN_GOLDEN_DIR "/bitnet2b4t_packed", {}, false),
               kernels::choose_table(""), kContext, pool_),
        cache_(model_.config(), kContext, kernels::KvType::kF16, kernels::KvType::kF16),
        tokenizer_(letters(model_.config().vocab)) {}

  GenerateResult generate(GenerateRequest request, std::size_t batch = 16) {
    model::Session session(cache_);
    model::Forward forward(model_, pool_, batch);
    request.prompt = prompt_;
    return Generator(tokenizer_, forward, session, pool_).generate(request);
  }
  static GenerateRequest greedy(std::size_t tokens) {
    GenerateRequest request;
    request.limits.max_tokens = tokens;
    request.sampler.temperature = 0;
    request.limits.ignore_end = true;
    return request;
  }

  ThreadPool pool_;
  model::Model model_;
  model::KvPool cache_;
  tokenizer::Tokenizer tokenizer_;
  std::vector<std::uint32_t> prompt_{1, 5, 9, 30, 7, 8, 11};
};

TEST_F(GeneratorTest, LengthAndStreamedPiecesAreTheText) {
  std::string streamed;
  GenerateRequest request = greedy(12);
  request.on_text = [&](std::string_view piece) { streamed += piece; };
  const GenerateResult result = generate(request);
  EXPECT_EQ(result.reason, StopReason::kLength);
  EXPECT_EQ(result.tokens.size(), 12u);
  EXPECT_EQ(result.prompt_tokens, prompt_.size());
  EXPECT_EQ(streamed, result.text);
  EXPECT_EQ(generate(greedy(0)).tokens.size(), 0u);
}

TEST_F(GeneratorTest, PromptInPartsGivesTheSameText) {
  const GenerateResult whole = generate(greedy(20));
  for (const std::size_t batch : {1u, 3u, 7u}) {
    EXPECT_EQ(generate(greedy(20), batch).tokens, whole.tokens) << batch;
  }
}

TEST_F(GeneratorTest, ContextFullIsAReasonNotAnError) {
  const GenerateResult result = generate(greedy(1000));
  EXPECT_EQ(result.reason, StopReason::kContextFull);
  EXPECT_EQ(result.prompt_tokens + result.tokens.size(), kContext + 1);
  prompt_.assign(kContext + 1, 5);
  EXPECT_THROW(generate(greedy(1)), Error);
  prompt_.clear();
  EXPECT_THROW(generate(greedy(1)), Error);
}

TEST_F(GeneratorTest, StopStringsAreNotPartOfTheText) {
  const std::string text = generate(greedy(12)).text;
  ASSERT_GE(text.size(), 8u);
  GenerateRequest request = greedy(12);
  request.limits.stop = {text.substr(5, 2)};
  const GenerateResult result = generate(request);
  EXPECT_EQ(result.reason, StopReason::kStopString);
  EXPECT_EQ(result.text, text.substr(0, text.find(request.limits.stop[0])));
}

TEST_F(GeneratorTest, EndTokenAndInterruptEndIt) {
  GenerateRequest request = greedy(1000);
  request.limits.ignore_end = false;
  request.sampler.temperature = 50;  // Nearly uniform: an end token comes up soon for some seed.
  request.sampler.top_k = 0;
  request.sampler.top_p = 1;
  request.sampler.min_p = 0;
  bool ended = false;
  for (request.sampler.seed = 0; request.sampler.seed < 50 && !ended; ++request.sampler.seed) {
    const GenerateResult result = generate(request);
    ended = result.reason == StopReason::kEndToken;
    for (const std::uint32_t id : result.tokens) EXPECT_NE(id, 2u);
  }
  EXPECT_TRUE(ended);

  int asked = 0;
  request = greedy(1000);
  request.keep_going = [&] { return ++asked <= 4; };  // Once for the prompt, then per token.
  const GenerateResult interrupted = generate(request);
  EXPECT_EQ(interrupted.reason, StopReason::kInterrupted);
  EXPECT_EQ(interrupted.tokens.size(), 3u);
}

}  // namespace
}  // namespace tern::engine
