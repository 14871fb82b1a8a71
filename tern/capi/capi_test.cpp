// The C interface on a tiny model: what it promises about results, errors, sizes and lifetimes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tern/capi/tern.h"

extern "C" tern_status load_from_c(const char* path, tern_model** model);
extern "C" tern_status greedy_from_c(tern_sampler** sampler);

namespace {

using Tokens = std::vector<tern_token>;

std::string error_text() { return tern_last_error(); }

class Capi : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(load_from_c(TERN_TINY_MODEL, &model_), TERN_OK) << error_text();
    vocab_ = tern_vocab_size(model_);
  }
  void TearDown() override { tern_model_free(model_); }

  Tokens tokens(const std::string& text, unsigned flags = 0) const {
    Tokens result(text.size() + 1);
    std::size_t count = 0;
    EXPECT_EQ(tern_tokenize(model_, text.data(), text.size(), flags, result.data(), result.size(),
                            &count),
              TERN_OK)
        << error_text();
    result.resize(count);
    return result;
  }

  std::vector<float> forward(tern_session* session, const Tokens& input, std::size_t wanted) {
    std::vector<float> logits(wanted * vocab_);
    EXPECT_EQ(tern_forward(session, input.data(), input.size(), wanted, logits.data()), TERN_OK)
        << error_text();
    return logits;
  }

  tern_session* session() {
    tern_session* made = nullptr;
    EXPECT_EQ(tern_session_new(model_, nullptr, &made), TERN_OK) << error_text();
    return made;
  }

  tern_model* model_ = nullptr;
  std::size_t vocab_ = 0;
};

TEST_F(Capi, TellsWhatTheModelIs) {
  EXPECT_EQ(vocab_, 265u);  // 256 bytes, 6 merges, 3 special tokens.
  EXPECT_EQ(tern_context_size(model_), 512u);
  EXPECT_EQ(tern_has_tokenizer(model_), 1);
  EXPECT_EQ(tern_is_end(model_, 263), 1);
  EXPECT_EQ(tern_is_end(model_, 'a'), 0);
  EXPECT_EQ(tern_api_version(), unsigned{TERN_API_VERSION});
  EXPECT_EQ(std::string(tern_version()).rfind("tern ", 0), 0u);
}

TEST_F(Capi, TokenizesByTheMerges) {
  // Ids by hand: bytes in the order of their value, then "th" 256, "the" 257, " the" 258, "in" 259,
  // "an" 260, "and" 261, then <|begin_of_text|> 262, <|end_of_text|>, <|eot_id|> 264.
  EXPECT_EQ(tokens("and the", TERN_ADD_BOS), (Tokens{262, 261, 258}));
  EXPECT_EQ(tokens("<|eot_id|>"), (Tokens{264}));
  EXPECT_EQ(tokens("<|eot_id|>", TERN_PLAIN_TEXT).size(), 10u);
  EXPECT_EQ(tokens(""), Tokens{});
  EXPECT_EQ(tokens("and the", TERN_AS_PROMPT), (Tokens{261, 258}));  // Its files ask for no BOS.
  EXPECT_EQ(tokens("", TERN_AS_PROMPT), (Tokens{262}));
}

TEST_F(Capi, TextComesBack) {
  const std::string text = "The bird, 鳥, and thin ice.";
  const Tokens ids = tokens(text);
  std::string back(64, '?');
  std::size_t length = 0;
  ASSERT_EQ(tern_detokenize(model_, ids.data(), ids.size(), back.data(), back.size(), &length),
            TERN_OK);
  EXPECT_EQ(back.substr(0, length), text);
}

TEST_F(Capi, ASmallBufferTellsTheSizeAndWritesWhatFits) {
  std::size_t count = 0;
  EXPECT_EQ(tern_tokenize(model_, "and the", 7, 0, nullptr, 0, &count), TERN_LIMIT);
  EXPECT_EQ(count, 2u);
  tern_token first = 0;
  EXPECT_EQ(tern_tokenize(model_, "and the", 7, 0, &first, 1, &count), TERN_LIMIT);
  EXPECT_EQ(first, 261u);
  char text[3] = {'?', '?', '?'};
  EXPECT_EQ(tern_piece(model_, 258, text, 2, &count), TERN_LIMIT);
  EXPECT_EQ(count, 4u);
  EXPECT_EQ(std::string(text, 3), " t?");
}

TEST_F(Capi, LogitsDoNotDependOnHowATextIsCut) {
  Tokens text = tokens("a thin bird and the wind", TERN_ADD_BOS);
  while (text.size() < 300) text.push_back(text[text.size() - 7]);  // More than one forward pass.
  tern_session* whole = session();
  tern_session* cut = session();
  const std::vector<float> all = forward(whole, text, text.size());
  for (std::size_t done = 0, n = 1; done < text.size(); done += n, n = 2 * n + 1) {
    n = std::min(n, text.size() - done);
    const auto from = text.begin() + static_cast<std::ptrdiff_t>(done);
    const auto part = forward(cut, Tokens(from, from + static_cast<std::ptrdiff_t>(n)), n);
    ASSERT_EQ(std::memcmp(part.data(), all.data() + done * vocab_, part.size() * sizeof(float)), 0)
        << "at " << done;
  }
  EXPECT_EQ(tern_session_position(cut), text.size());

  ASSERT_EQ(tern_session_truncate(cut, 10), TERN_OK);
  const auto again = forward(cut, Tokens(text.begin() + 10, text.begin() + 20), 1);
  EXPECT_EQ(std::memcmp(again.data(), all.data() + 19 * vocab_, vocab_ * sizeof(float)), 0);
  EXPECT_EQ(tern_session_truncate(cut, 21), TERN_BAD_ARGUMENT);
  tern_session_free(whole);
  tern_session_free(cut);
}

TEST_F(Capi, AFailedForwardLeavesTheSessionAsItWas) {
  tern_session* one = session();
  const Tokens start = tokens("and the", TERN_ADD_BOS);
  forward(one, start, 0);
  std::vector<float> logits(vocab_);
  Tokens bad(400, 'a');
  bad[399] = 265;  // One past the vocabulary, in the second forward pass.
  EXPECT_EQ(tern_forward(one, bad.data(), bad.size(), 1, logits.data()), TERN_LIMIT);
  EXPECT_NE(error_text().find("265"), std::string::npos) << error_text();
  EXPECT_EQ(tern_session_position(one), start.size());
  const Tokens many(511, 'a');
  EXPECT_EQ(tern_forward(one, many.data(), many.size(), 1, logits.data()), TERN_LIMIT);
  EXPECT_EQ(tern_session_position(one), start.size());

  tern_session* fresh = session();
  forward(fresh, start, 0);
  EXPECT_EQ(forward(one, {'x'}, 1), forward(fresh, {'x'}, 1));
  tern_session_free(one);
  tern_session_free(fresh);
}

TEST_F(Capi, ASessionOutlivesItsModelHandle) {
  tern_session* one = session();
  tern_model_free(model_);
  model_ = nullptr;
  const auto logits = forward(one, {'a', 'b'}, 1);
  for (const float logit : logits) ASSERT_TRUE(std::isfinite(logit));
  tern_session_free(one);
}

TEST_F(Capi, ThreadsShareAModel) {
  const Tokens text = tokens("the wind and the sea", TERN_ADD_BOS);
  tern_session* alone = session();
  const auto expected = forward(alone, text, 1);
  tern_session_free(alone);
  std::vector<std::vector<float>> found(4);
  std::vector<std::thread> threads;
  for (auto& logits : found) {
    threads.emplace_back([&] {
      tern_session* mine = session();
      logits = forward(mine, text, 1);
      tern_session_free(mine);
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& logits : found) EXPECT_EQ(logits, expected);
}

TEST_F(Capi, KeysAndValuesHaveTypes) {
  tern_session_options options{};
  options.size = sizeof options;
  options.positions = 4;
  options.k_type = TERN_KV_F32;
  options.v_type = TERN_KV_F32;
  tern_session* small = nullptr;
  ASSERT_EQ(tern_session_new(model_, &options, &small), TERN_OK) << error_text();
  EXPECT_EQ(forward(small, {'a', 'b', 'c', 'd'}, 1).size(), vocab_);
  const tern_token next = 'e';
  EXPECT_EQ(tern_forward(small, &next, 1, 0, nullptr), TERN_LIMIT);
  tern_session_free(small);
  options.k_type = TERN_KV_INT8;
  options.v_type = TERN_KV_INT4;
  ASSERT_EQ(tern_session_new(model_, &options, &small), TERN_OK) << error_text();
  EXPECT_EQ(forward(small, {'a', 'b', 'c', 'd'}, 1).size(), vocab_);
  tern_session_free(small);
  options.k_type = 7;
  EXPECT_EQ(tern_session_new(model_, &options, &small), TERN_BAD_ARGUMENT);
  options.k_type = 0;
  options.positions = 513;
  EXPECT_EQ(tern_session_new(model_, &options, &small), TERN_LIMIT);
}

TEST(CapiSampler, ZeroIsGreedyAndASeedRepeats) {
  const std::vector<float> logits{0.5f, 2.0f, 1.9f, -3.0f};
  tern_sampler* greedy = nullptr;
  ASSERT_EQ(greedy_from_c(&greedy), TERN_OK) << error_text();
  tern_token token = 9;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(tern_sample(greedy, logits.data(), logits.size(), &token), TERN_OK);
    EXPECT_EQ(token, 1u);
  }
  tern_sampler_free(greedy);

  tern_sampler_options options{};
  options.size = sizeof options;
  options.temperature = 1;
  options.seed = 42;
  std::vector<Tokens> runs(2);
  for (Tokens& run : runs) {
    tern_sampler* sampler = nullptr;
    ASSERT_EQ(tern_sampler_new(&options, &sampler), TERN_OK);
    for (int i = 0; i < 40; ++i) {
      ASSERT_EQ(tern_sample(sampler, logits.data(), logits.size(), &token), TERN_OK);
      run.push_back(token);
    }
    tern_sampler_free(sampler);
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0], Tokens(40, 1u));  // 40 draws of which 44 % should be the best.
}

TEST(CapiSampler, ThePenaltySeesWhatWasAccepted) {
  const std::vector<float> logits{0.5f, 2.0f, 1.9f};
  tern_sampler_options options{};
  options.size = sizeof options;
  options.repeat_penalty = 1.5;
  tern_sampler* sampler = nullptr;
  ASSERT_EQ(tern_sampler_new(&options, &sampler), TERN_OK);
  ASSERT_EQ(tern_sampler_accept(sampler, 1), TERN_OK);
  tern_token token = 9;
  ASSERT_EQ(tern_sample(sampler, logits.data(), logits.size(), &token), TERN_OK);
  EXPECT_EQ(token, 2u);  // 2.0 / 1.5 < 1.9.
  ASSERT_EQ(tern_sample(sampler, logits.data(), logits.size(), &token), TERN_OK);
  EXPECT_EQ(token, 1u);  // Now 1.9 / 1.5 < 2.0 / 1.5.
  tern_sampler_free(sampler);
}

TEST(CapiErrors, NameTheThingAndKeepTheThreadsApart) {
  tern_model* model = nullptr;
  EXPECT_EQ(tern_load("no/such/model", nullptr, &model), TERN_IO);
  EXPECT_NE(error_text().find("no/such/model"), std::string::npos) << error_text();
  EXPECT_EQ(model, nullptr);
  std::thread([] { EXPECT_STREQ(tern_last_error(), ""); }).join();

  EXPECT_EQ(tern_load(nullptr, nullptr, &model), TERN_BAD_ARGUMENT);
  tern_load_options options{};
  EXPECT_EQ(tern_load(TERN_TINY_MODEL, &options, &model), TERN_BAD_ARGUMENT);  // No size.
  options.size = sizeof options;
  options.i2s = "vax";
  EXPECT_EQ(tern_load(TERN_TINY_MODEL, &options, &model), TERN_BAD_ARGUMENT);
  EXPECT_NE(error_text().find("vax"), std::string::npos);
  options.i2s = nullptr;
  options.context = 513;
  EXPECT_EQ(tern_load(TERN_TINY_MODEL, &options, &model), TERN_LIMIT);
}

// A caller built for another version of the struct.
TEST(CapiErrors, OptionsMayBeShorterOrLongerWithZeros) {
  struct {
    tern_load_options options;
    std::uint64_t future;
  } longer{};
  longer.options.size = sizeof longer;
  tern_model* model = nullptr;
  ASSERT_EQ(tern_load(TERN_TINY_MODEL, &longer.options, &model), TERN_OK) << error_text();
  tern_model_free(model);
  longer.future = 1;
  EXPECT_EQ(tern_load(TERN_TINY_MODEL, &longer.options, &model), TERN_BAD_ARGUMENT);
  tern_load_options shorter{};
  shorter.size = offsetof(tern_load_options, i2s);
  shorter.i2s = "vax";  // Beyond what the caller knew: not looked at.
  ASSERT_EQ(tern_load(TERN_TINY_MODEL, &shorter, &model), TERN_OK) << error_text();
  tern_model_free(model);
}

TEST(CapiErrors, WithoutATokenizerOnlyTokensWork) {
  tern_load_options options{};
  options.size = sizeof options;
  options.without_tokenizer = 1;
  tern_model* model = nullptr;
  ASSERT_EQ(tern_load(TERN_TINY_MODEL, &options, &model), TERN_OK) << error_text();
  EXPECT_EQ(tern_has_tokenizer(model), 0);
  std::size_t count = 0;
  EXPECT_EQ(tern_tokenize(model, "a", 1, 0, nullptr, 0, &count), TERN_UNSUPPORTED);
  tern_model_free(model);
}

TEST(CapiErrors, FreeingNothingIsNothing) {
  tern_model_free(nullptr);
  tern_session_free(nullptr);
  tern_sampler_free(nullptr);
}

}  // namespace
