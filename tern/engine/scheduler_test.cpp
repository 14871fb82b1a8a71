// Many texts at once: each is the text that it is alone, and nobody waits or holds too long.
#include "tern/engine/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <thread>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/engine/engine_test_util.h"
#include "tern/engine/generator.h"
#include "tern/grammar/matcher.h"

namespace tern::engine {
namespace {

using Tokens = std::vector<std::uint32_t>;

// What a text's events add up to.
struct Heard {
  std::string text;
  Tokens tokens;
  std::vector<TokenScore> scores, prompt;
  std::vector<float> embedding;
  std::optional<StopReason> ended;
  TextStatus status;
  std::string failure;
  std::vector<std::uint64_t> steps;  // When tokens came, where somebody counts.
};

class SchedulerTest : public testing::Test {
 protected:
  SchedulerTest()
      : pool_(2),
        model_(checkpoint::open_checkpoint(TERN_GOLDEN_DIR "/bitnet2b4t_packed", {}, false),
               kernels::choose_table(""), 0, pool_),
        tokenizer_(letters(model_.config().vocab)) {}

  Tokens random_prompt(std::size_t n) {
    Tokens prompt(n);
    for (auto& id : prompt) id = static_cast<std::uint32_t>(3 + rng_() % 61);
    return prompt;
  }
  static TextRequest greedy(Tokens prompt, std::size_t tokens) {
    TextRequest request;
    request.prompt = std::move(prompt);
    request.limits.max_tokens = tokens;
    request.limits.ignore_end = true;
    request.sampler.temperature = 0;
    return request;
  }
  static TextRequest heard_by(TextRequest request, Heard& heard,
                              const std::uint64_t* now = nullptr) {
    request.on_event = [&heard, now](const TextEvent& e) {
      EXPECT_FALSE(heard.ended) << "an event after the last one";
      heard.text += e.text;
      for (const TokenScore& score : e.tokens) {
        heard.tokens.push_back(score.id);
        heard.scores.push_back(score);
        if (now != nullptr) heard.steps.push_back(*now);
      }
      heard.prompt.insert(heard.prompt.end(), e.prompt.begin(), e.prompt.end());
      heard.embedding.assign(e.embedding.begin(), e.embedding.end());
      heard.ended = e.ended;
      heard.status = e.status;
      heard.failure = e.failure;
    };
    return request;
  }
  model::KvPool make_cache(std::size_t positions) {
    return model::KvPool(model_.config(), positions, kernels::KvType::kF16, kernels::KvType::kF16);
  }
  // By the generator, which knows nothing of other texts.
  GenerateResult alone(const TextRequest& request) {
    auto cache = make_cache(model_.context());
    model::Session session(cache);
    model::Forward forward(model_, pool_, 16);
    GenerateRequest same;
    same.prompt = request.prompt;
    same.limits = request.limits;
    same.sampler = request.sampler;
    return Generator(tokenizer_, forward, session, pool_).generate(same);
  }
  void expect_alone(const TextRequest& request, const Heard& heard, const std::string& what) {
    const GenerateResult want = alone(request);
    EXPECT_EQ(heard.tokens, want.tokens) << what;
    EXPECT_EQ(heard.text, want.text) << what;
    ASSERT_TRUE(heard.ended) << what;
    EXPECT_EQ(*heard.ended, want.reason) << what;
    EXPECT_EQ(heard.status.answer_tokens, want.tokens.size()) << what;
  }

  std::mt19937 rng_{20261129};
  ThreadPool pool_;
  model::Model model_;
  tokenizer::Tokenizer tokenizer_;
};

TEST_F(SchedulerTest, TextsAreWhatTheyAreAlone) {
  for (const std::size_t chunk : {1u, 7u, 64u, 300u}) {
    auto cache = make_cache(64 * 100);
    Scheduler scheduler(tokenizer_, model_, pool_, cache, {.slots = 17, .chunk = chunk});
    std::vector<TextRequest> requests;
    for (std::size_t i = 0; i < 17; ++i) {
      requests.push_back(greedy(random_prompt(1 + rng_() % 150), 1 + rng_() % 30));
      if (i % 3 == 1) {
        requests[i].sampler = {};
        requests[i].sampler.seed = i;
        requests[i].limits.ignore_end = i % 2 == 0;
      }
      if (i % 4 == 2) requests[i].sampler.repeat_penalty = 1.3;
      if (i % 5 == 3) requests[i].sampler.top_k = 0;  // All logits.
    }
    std::vector<Heard> heard(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      ASSERT_TRUE(scheduler.submit(heard_by(requests[i], heard[i])));
    }
    while (scheduler.step()) {
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
      expect_alone(requests[i], heard[i],
                   "chunk " + std::to_string(chunk) + ", text " + std::to_string(i));
    }
    EXPECT_EQ(scheduler.state().kv_blocks_used, 0u);
    EXPECT_EQ(scheduler.state().finished, 17u);
  }
}

TEST_F(SchedulerTest, TextsThatBeginAlikeShareWhatWasRead) {
  auto cache = make_cache(64 * 60);
  Scheduler scheduler(tokenizer_, model_, pool_, cache, {.slots = 8, .chunk = 64});
  const Tokens begin = random_prompt(200);
  const auto request_of = [&](std::size_t more) {
    Tokens prompt = begin;
    const Tokens end = random_prompt(more);
    prompt.insert(prompt.end(), end.begin(), end.end());
    return greedy(prompt, 9);
  };
  // One after the other.
  std::vector<TextRequest> requests{request_of(20), request_of(30), greedy(begin, 80)};
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Heard heard;
    scheduler.submit(heard_by(requests[i], heard));
    while (scheduler.step()) {
    }
    expect_alone(requests[i], heard, "text " + std::to_string(i));
    EXPECT_EQ(heard.status.cached_tokens, i == 0 ? 0u : 192u);
  }
  // A dialogue goes on: its answer is known too.
  Tokens longer = begin;
  const auto answer = alone(requests[2]).tokens;
  longer.insert(longer.end(), answer.begin(), answer.end());
  longer.push_back(5);
  Heard next;
  scheduler.submit(heard_by(greedy(longer, 5), next));
  while (scheduler.step()) {
  }
  EXPECT_EQ(next.status.cached_tokens, 256u);
  // At the same time: together they read the beginning about once.
  const Tokens fresh = random_prompt(320);
  std::vector<Heard> heard(6);
  const std::uint64_t before = scheduler.state().prompt_tokens;
  for (Heard& one : heard) scheduler.submit(heard_by(greedy(fresh, 4), one));
  while (scheduler.step()) {
  }
  for (const Heard& one : heard) expect_alone(greedy(fresh, 4), one, "at the same time");
  EXPECT_LE(scheduler.state().prompt_tokens - before, 320u + 6 * 64u);
}

TEST_F(SchedulerTest, AFullCachePutsTheLastOnesBack) {
  for (const bool share : {false, true}) {
    auto cache = make_cache(64 * 7);
    Scheduler scheduler(tokenizer_, model_, pool_, cache,
                        {.slots = 6, .chunk = 50, .share_prefixes = share});
    std::vector<TextRequest> requests;
    std::vector<Heard> heard(6);
    for (std::size_t i = 0; i < 6; ++i) {
      requests.push_back(greedy(random_prompt(40 + 10 * i), 150));
      if (i == 3) requests[i].sampler.temperature = 1;
      scheduler.submit(heard_by(requests[i], heard[i]));
    }
    while (scheduler.step()) {
      ASSERT_LE(scheduler.state().kv_blocks_used, 7u);
    }
    for (std::size_t i = 0; i < 6; ++i) {
      expect_alone(requests[i], heard[i], "text " + std::to_string(i));
    }
    EXPECT_GT(scheduler.state().put_back, 0u);
    EXPECT_EQ(scheduler.state().kv_blocks_used, 0u);
  }
  // One that needs more than there is ends where the cache ends.
  auto cache = make_cache(128);
  Scheduler scheduler(tokenizer_, model_, pool_, cache, {.slots = 2});
  Heard heard;
  scheduler.submit(heard_by(greedy(random_prompt(100), 400), heard));
  while (scheduler.step()) {
  }
  EXPECT_EQ(*heard.ended, StopReason::kContextFull);
  EXPECT_EQ(heard.tokens.size(), 29u);  // The last one needs no room.
  EXPECT_THROW(scheduler.submit(greedy(random_prompt(129), 1)), Error);
}

TEST_F(SchedulerTest, RunningTextsWaitForNoPrompt) {
  auto cache = make_cache(64 * 100);
  Scheduler scheduler(tokenizer_, model_, pool_, cache, {.slots = 4, .chunk = 20});
  std::uint64_t now = 0;
  Heard running, slow, quick;
  scheduler.submit(heard_by(greedy(random_prompt(5), 60), running, &now));
  scheduler.step();
  scheduler.submit(heard_by(greedy(random_prompt(400), 5), slow, &now));
  scheduler.step();
  scheduler.submit(heard_by(greedy(random_prompt(15), 5), quick, &now));
  for (now = 2; scheduler.step(); ++now) {
  }
  ASSERT_EQ(running.steps.size(), 60u);
  for (std::size_t i = 3; i < running.steps.size(); ++i) {
    EXPECT_EQ(running.steps[i], running.steps[i - 1] + 1);
  }
  EXPECT_LE(quick.steps.at(0), 4u);  // Though a long prompt came before.
  EXPECT_GE(slow.steps.at(0), 400u / 20);
  EXPECT_LE(slow.steps.at(0), 400u / 20 + 3);
}

TEST_F(SchedulerTest, CancellingFreesAtOnce) {
  auto cache = make_cache(64 * 20);
  Scheduler scheduler(tokenizer_, model_, pool_, cache,
                      {.slots = 2, .queue = 3, .chunk = 32, .share_prefixes = false});
  std::vector<Heard> heard(4);
  std::vector<std::uint64_t> ids;
  for (std::size_t i = 0; i < 3; ++i) {
    ids.push_back(
        *scheduler.submit(heard_by(greedy(random_prompt(i == 1 ? 300 : 10), 200), heard[i])));
  }
  EXPECT_FALSE(scheduler.submit(greedy(random_prompt(3), 1)));  // The queue is full.
  for (int i = 0; i < 3; ++i) scheduler.step();
  EXPECT_EQ(scheduler.state().running, 2u);
  EXPECT_EQ(scheduler.state().queued, 1u);
  scheduler.cancel(ids[1]);  // In its prompt.
  scheduler.cancel(ids[2]);  // Waiting.
  scheduler.cancel(999);
  scheduler.step();
  EXPECT_EQ(*heard[1].ended, StopReason::kInterrupted);
  EXPECT_TRUE(heard[1].tokens.empty());
  EXPECT_EQ(*heard[2].ended, StopReason::kInterrupted);
  EXPECT_EQ(scheduler.state().running, 1u);
  EXPECT_EQ(scheduler.state().kv_blocks_used, 1u);
  scheduler.cancel(ids[0]);
  EXPECT_FALSE(scheduler.step());
  EXPECT_EQ(*heard[0].ended, StopReason::kInterrupted);
  EXPECT_EQ(heard[0].tokens.size(), 4u);
  EXPECT_EQ(scheduler.state().kv_blocks_used, 0u);
  EXPECT_EQ(scheduler.state().cancelled, 3u);
  // Overdue: waiting or running.
  TextRequest late = greedy(random_prompt(5), 100);
  late.deadline = monotonic_seconds() - 1;
  scheduler.submit(heard_by(late, heard[3]));
  EXPECT_FALSE(scheduler.step());
  EXPECT_EQ(*heard[3].ended, StopReason::kDeadline);
}

TEST_F(SchedulerTest, ScoresAreLogSoftmaxOfAllLogits) {
  auto cache = make_cache(640);
  Scheduler scheduler(tokenizer_, model_, pool_, cache, {.slots = 3, .chunk = 9});
  TextRequest request = greedy(random_prompt(70), 6);
  request.scores = request.prompt_scores = true;
  request.top = 3;
  Heard heard, plain;
  scheduler.submit(heard_by(request, heard));
  scheduler.submit(heard_by(greedy(request.prompt, 6), plain));
  while (scheduler.step()) {
  }
  EXPECT_EQ(heard.tokens, plain.tokens);
  // All at once, by hand.
  Tokens all = request.prompt;
  all.insert(all.end(), heard.tokens.begin(), heard.tokens.end());
  auto other = make_cache(640);
  model::Session session(other);
  model::Forward forward(model_, pool_, all.size());
  const auto hidden = forward.run({{&session, all, 0}});
  const std::size_t vocab = model_.config().vocab;
  std::vector<float> logits(all.size() * vocab);
  model::Head(model_).logits(hidden, logits, pool_);
  std::vector<TokenScore> found = heard.prompt;
  found.insert(found.end(), heard.scores.begin(), heard.scores.end());
  ASSERT_EQ(found.size(), all.size());
  EXPECT_FALSE(found[0].logprob);
  for (std::size_t t = 1; t < all.size(); ++t) {
    EXPECT_EQ(found[t].id, all[t]);
    const auto row = std::span(logits).subspan((t - 1) * vocab, vocab);
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit));
    ASSERT_TRUE(found[t].logprob) << t;
    EXPECT_NEAR(*found[t].logprob, static_cast<double>(row[all[t]]) - std::log(sum), 1e-9) << t;
    ASSERT_EQ(found[t].top.size(), 3u);
    EXPECT_EQ(row[found[t].top[0].id], *std::ranges::max_element(row));
    EXPECT_GE(found[t].top[0].logprob, found[t].top[1].logprob);
  }
  // Only the prompt's, as an evaluation asks for them.
  TextRequest echo = request;
  echo.limits.max_tokens = 0;
  Heard only;
  scheduler.submit(heard_by(echo, only));
  while (scheduler.step()) {
  }
  EXPECT_EQ(only.prompt.size(), 70u);
  EXPECT_TRUE(only.tokens.empty());
  EXPECT_EQ(*only.ended, StopReason::kLength);
  EXPECT_EQ(*only.prompt[69].logprob, *heard.prompt[69].logprob);
}

TEST_F(SchedulerTest, EmbeddingsAreTheHiddenStates) {
  auto cache = make_cache(640);
  Scheduler scheduler(tokenizer_, model_, pool_, cache, {.slots = 3, .chunk = 11});
  const Tokens prompt = random_prompt(90);
  model::KvPool other = make_cache(640);
  model::Session session(other);
  model::Forward forward(model_, pool_, 90);
  const auto hidden = forward.run({{&session, prompt, 0}});
  const std::size_t width = model_.config().hidden;
  for (const Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
    TextRequest request;
    request.prompt = prompt;
    request.pooling = pooling;
    Heard heard;
    scheduler.submit(heard_by(request, heard));
    while (scheduler.step()) {
    }
    ASSERT_EQ(heard.embedding.size(), width);
    EXPECT_TRUE(heard.tokens.empty());
    for (std::size_t i = 0; i < width; ++i) {
      double want = static_cast<double>(hidden[89 * width + i]);
      if (pooling == Pooling::kMean) {
        want = 0;
        for (std::size_t t = 0; t < 90; ++t)
          want += static_cast<double>(hidden[t * width + i]) / 90;
      }
      EXPECT_NEAR(static_cast<double>(heard.embedding[i]), want, 1e-5);
    }
  }
}

TEST_F(SchedulerTest, RefusesWhatCannotBeRun) {
  auto cache = make_cache(640);
  Scheduler scheduler(tokenizer_, model_, pool_, cache, {});
  EXPECT_THROW(scheduler.submit(greedy({}, 1)), Error);
  EXPECT_THROW(scheduler.submit(greedy({64}, 1)), Error);
  EXPECT_THROW(scheduler.submit(greedy(random_prompt(513), 1)), Error);
  TextRequest wrong = greedy({5}, 1);
  wrong.sampler.top_p = 7;
  EXPECT_THROW(scheduler.submit(wrong), Error);
  wrong = greedy({5}, 1);
  wrong.limits.stop = {""};
  EXPECT_THROW(scheduler.submit(wrong), Error);
  EXPECT_EQ(scheduler.state().queued, 0u);
  EXPECT_THROW(Scheduler(tokenizer_, model_, pool_, cache, {.slots = 0}), Error);
}

// From several threads, which cancel a part of what they asked for.
TEST_F(SchedulerTest, ServesThreads) {
  auto cache = make_cache(64 * 12);
  Scheduler scheduler(tokenizer_, model_, pool_, cache, {.slots = 5, .queue = 1000, .chunk = 40});
  std::thread engine([&] { scheduler.run(); });
  constexpr std::size_t kTexts = 25;
  const TextRequest one = greedy(random_prompt(80), 12), two = greedy(random_prompt(30), 25);
  struct Client {
    std::vector<Heard> heard{kTexts};
    std::atomic<std::size_t> ended{0};
  };
  std::vector<Client> clients(3);
  std::vector<std::thread> threads;
  for (std::size_t c = 0; c < clients.size(); ++c) {
    threads.emplace_back([&, c] {
      Client& client = clients[c];
      for (std::size_t i = 0; i < kTexts; ++i) {
        TextRequest request = heard_by(i % 2 == 0 ? one : two, client.heard[i]);
        const auto listen = request.on_event;
        request.on_event = [listen, &client](const TextEvent& e) {
          listen(e);
          if (e.ended) ++client.ended;
        };
        const auto id = scheduler.submit(std::move(request));
        ASSERT_TRUE(id);
        if (i % 5 == 4) scheduler.cancel(*id);
      }
      while (client.ended < kTexts) std::this_thread::yield();
    });
  }
  for (auto& thread : threads) thread.join();
  scheduler.stop();
  engine.join();
  EXPECT_FALSE(scheduler.submit(one));
  const auto want_one = alone(one), want_two = alone(two);
  for (const Client& client : clients) {
    for (std::size_t i = 0; i < kTexts; ++i) {
      const auto& want = i % 2 == 0 ? want_one : want_two;
      const Heard& heard = client.heard[i];
      if (*heard.ended == StopReason::kInterrupted) {
        EXPECT_EQ(i % 5, 4u);
        EXPECT_TRUE(std::equal(heard.tokens.begin(), heard.tokens.end(), want.tokens.begin()));
      } else {
        EXPECT_EQ(heard.tokens, want.tokens);
      }
    }
  }
  EXPECT_EQ(scheduler.state().kv_blocks_used, 0u);
}

// Texts come, are cancelled and share beginnings at random, in a cache that is too small.
TEST_F(SchedulerTest, RandomTraffic) {
  for (int round = 0; round < 6; ++round) {
    const std::size_t blocks = 5 + rng_() % 8;
    auto cache = make_cache(64 * blocks);
    Scheduler scheduler(tokenizer_, model_, pool_, cache,
                        {.slots = 1 + rng_() % 6,
                         .queue = 100,
                         .chunk = 1 + rng_() % 100,
                         .share_prefixes = round % 3 != 0});
    const Tokens common = random_prompt(200);
    std::vector<TextRequest> requests;
    std::deque<Heard> heard;
    std::vector<std::uint64_t> ids;
    std::map<std::uint64_t, bool> cancelled;
    for (int step = 0; step < 300; ++step) {
      if (requests.size() < 30 && rng_() % 4 == 0) {
        Tokens prompt(common.begin(), common.begin() + static_cast<std::ptrdiff_t>(rng_() % 200));
        const Tokens end = random_prompt(1 + rng_() % 60);
        prompt.insert(prompt.end(), end.begin(), end.end());
        requests.push_back(greedy(prompt, rng_() % 60));
        heard.emplace_back();
        ids.push_back(*scheduler.submit(heard_by(requests.back(), heard.back())));
      }
      if (!ids.empty() && rng_() % 40 == 0) {
        const std::uint64_t id = ids[rng_() % ids.size()];
        cancelled[id] = true;
        scheduler.cancel(id);
      }
      scheduler.step();
      ASSERT_LE(scheduler.state().kv_blocks_used, blocks);
    }
    while (scheduler.step()) {
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (heard[i].ended == StopReason::kInterrupted && cancelled[ids[i]]) continue;
      expect_alone(requests[i], heard[i],
                   "round " + std::to_string(round) + ", text " + std::to_string(i));
    }
    EXPECT_EQ(scheduler.state().kv_blocks_used, 0u);
    EXPECT_EQ(scheduler.state().finished, requests.size());
  }
}

TEST_F(SchedulerTest, GrammarsAreKeptAmongOthersAndEndTheText) {
  auto cache = make_cache(64 * 60);
  Scheduler scheduler(tokenizer_, model_, pool_, cache, {.slots = 6, .chunk = 32});
  const auto grammar = grammar::make_grammar("root ::= [AB] [C-E]{2,20} \"FF\"");
  std::vector<TextRequest> requests;
  for (std::size_t i = 0; i < 12; ++i) {
    requests.push_back(greedy(random_prompt(5 + 10 * i), 60));
    requests[i].sampler.seed = i;
    requests[i].sampler.temperature = i % 3 == 0 ? 0 : 2;
    if (i % 2 == 0) requests[i].grammar = grammar;
    requests[i].scores = i % 4 == 0;
  }
  requests[4].limits.max_tokens = 2;
  requests[6].grammar = grammar::make_grammar("root ::= \"\"");
  std::vector<Heard> heard(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    scheduler.submit(heard_by(requests[i], heard[i]));
  }
  while (scheduler.step()) {
  }
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(heard[i].ended && heard[i].failure.empty()) << heard[i].failure;
    if (!requests[i].grammar) {
      expect_alone(requests[i], heard[i], "text " + std::to_string(i));
      continue;
    }
    EXPECT_EQ(*heard[i].ended, i == 4 ? StopReason::kLength : StopReason::kEndToken) << i;
    EXPECT_EQ(heard[i].status.answer_tokens, heard[i].text.size()) << i;  // A letter each.
    grammar::Matcher matcher(requests[i].grammar);
    EXPECT_TRUE(matcher.accept(heard[i].text)) << heard[i].text;
    EXPECT_EQ(matcher.can_end(), i != 4) << heard[i].text;
  }
}

TEST_F(SchedulerTest, ABiasForcesAndBansTokens) {
  auto cache = make_cache(64 * 20);
  Scheduler scheduler(tokenizer_, model_, pool_, cache, {});
  TextRequest plain = greedy(random_prompt(20), 1), forced = plain, banned = plain, all = plain;
  forced.sampler.logit_bias = {{9, 1000}};
  const auto first = alone(plain).tokens.at(0);
  banned.sampler.logit_bias = {{first, -1000}};
  all = banned;
  all.scores = true;  // From all logits, where the others come from a few.
  Heard f, b, a;
  scheduler.submit(heard_by(forced, f));
  scheduler.submit(heard_by(banned, b));
  scheduler.submit(heard_by(all, a));
  while (scheduler.step()) {
  }
  EXPECT_EQ(f.tokens, Tokens{9});
  EXPECT_NE(b.tokens.at(0), first);
  EXPECT_EQ(b.tokens, a.tokens);
  EXPECT_EQ(b.tokens, alone(banned).tokens);
  banned.sampler.logit_bias = {{static_cast<std::uint32_t>(model_.config().vocab), 1}};
  EXPECT_THROW(scheduler.submit(banned), Error);
}

}  // namespace
}  // namespace tern::engine
