// The few best logits against all of them, and what must not change by slicing a head.
#include "tern/model/head.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tern/kernels/dense.h"
#include "tern/model/forward.h"
#include "tern/model/head_test_util.h"
#include "tern/tensor/dense_row.h"

namespace tern::model {
namespace {

// What best() promises, from all logits and in the plainest way.
std::vector<TokenLogit> expected_list(std::span<const float> logits, const BestRequest& request) {
  std::vector<TokenLogit> others, list, last;
  for (std::uint32_t id = 0; id < logits.size(); ++id) {
    if (std::ranges::find(request.always, id) == request.always.end()) {
      others.push_back({id, logits[id]});
    }
  }
  std::ranges::sort(others, better);
  for (const TokenLogit& one : others) {
    const bool in = request.count > 0
                        ? list.size() < request.count
                        : static_cast<double>(one.logit) >= static_cast<double>(others[0].logit) -
                                                                static_cast<double>(request.within);
    if (in) list.push_back(one);
  }
  for (const std::uint32_t id : request.always) list.push_back({id, logits[id]});
  return list;
}

void expect_same(const std::vector<TokenLogit>& got, const std::vector<TokenLogit>& want,
                 const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].id, want[i].id) << what << ", place " << i;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i].logit),
              std::bit_cast<std::uint32_t>(want[i].logit))
        << what << ", place " << i;
  }
}

// Every request for every hidden state, one at a time and all at once.
void expect_best(const Model& model, std::span<const float> hidden,
                 std::span<const BestRequest> requests, std::size_t threads,
                 const std::string& what) {
  ThreadPool pool(threads);
  const std::size_t width = model.config().hidden, vocab = model.config().vocab;
  const std::size_t tokens = hidden.size() / width;
  Head head(model);
  std::vector<float> logits(tokens * vocab);
  head.logits(hidden, logits, pool);
  for (std::size_t first = 0; first < requests.size(); ++first) {
    std::vector<BestRequest> each;
    for (std::size_t t = 0; t < tokens; ++t) {
      each.push_back(requests[(first + t) % requests.size()]);
    }
    std::vector<std::vector<TokenLogit>> lists(tokens);
    head.best(hidden, each, lists, pool);
    for (std::size_t t = 0; t < tokens; ++t) {
      const auto want = expected_list(std::span(logits).subspan(t * vocab, vocab), each[t]);
      expect_same(lists[t], want, what + ", token " + std::to_string(t) + " of many");
    }
    head.best(hidden.subspan(0, width), {each.data(), 1}, {lists.data(), 1}, pool);
    expect_same(lists[0], expected_list(std::span(logits).subspan(0, vocab), each[0]), what);
  }
}

std::vector<const kernels::KernelTable*> usable_tables() {
  std::vector<const kernels::KernelTable*> usable;
  for (const auto* table : kernels::all_tables()) {
    if (kernels::table_supported(*table)) usable.push_back(table);
  }
  return usable;
}

TEST(Head, BestIsTheBestOfAll) {
  std::mt19937 rng(20261201);
  ThreadPool pool(2);
  for (const std::size_t vocab : {1u, 2u, 3u, 63u, 64u, 65u, 127u, 129u, 1000u}) {
    const auto checkpoint = std::make_shared<HeadOnly>(vocab, vocab % 2 + 1, rng);
    std::vector<std::uint32_t> some, all;
    for (std::uint32_t id = 0; id < vocab; ++id) {
      all.push_back(id);
      if (rng() % 5 == 0) some.push_back(id);
    }
    std::vector<BestRequest> requests;
    for (const std::size_t count : {1u, 2u, 40u, 5000u}) {
      requests.push_back({.count = count, .within = 0, .always = {}});
      requests.push_back({.count = count, .within = 0, .always = some});
    }
    for (const float within : {0.0f, 0.5f, 3.0f, 1e30f}) {
      requests.push_back({.count = 0, .within = within, .always = {}});
      requests.push_back({.count = 0, .within = within, .always = some});
    }
    requests.push_back({.count = 3, .within = 0, .always = all});
    for (const auto* table : usable_tables()) {
      const Model model(checkpoint, *table, 0, pool);
      ASSERT_TRUE(std::holds_alternative<SlicedMatrix>(model.head()));
      const std::size_t tokens = vocab == 65 ? 35 : 2 + vocab % 2;  // Past a chunk once.
      expect_best(
          model, hidden_states(tokens * model.config().hidden, rng), requests, vocab % 3 + 1,
          std::string(kernels::table_name(*table)) + ", vocabulary " + std::to_string(vocab));
    }
  }
}

// Equal rows, rows of zeros, hidden states of zeros and of sizes that have no bound.
TEST(Head, BestWithTiesZerosAndExtremes) {
  std::mt19937 rng(20261202);
  ThreadPool pool(2);
  const auto checkpoint = std::make_shared<HeadOnly>(300, 1, rng);
  for (std::size_t r = 0; r < 300; ++r) {
    if (r % 3 != 0) std::memcpy(checkpoint->row(r), checkpoint->row(r / 7 * 3 % 300), 210);
    if (r % 10 == 0) std::memset(checkpoint->row(r) + 208, 0, 2);
  }
  const std::vector<std::uint32_t> always{299, 0, 150};
  const std::vector<BestRequest> requests{{.count = 1, .within = 0, .always = {}},
                                          {.count = 7, .within = 0, .always = always},
                                          {.count = 0, .within = 0, .always = {}},
                                          {.count = 0, .within = 1, .always = always}};
  for (const auto* table : usable_tables()) {
    const Model model(checkpoint, *table, 0, pool);
    for (const float size : {0.0f, 0x1p-149f, 0x1p-120f, 1.0f, 0x1p70f}) {
      std::vector<float> h = hidden_states(3 * 256, rng);
      for (float& v : h) v *= size;
      expect_best(model, h, requests, 2,
                  std::string(kernels::table_name(*table)) + ", size " + std::to_string(size));
    }
  }
}

TEST(Head, WhatIsNotFiniteIsInTheList) {
  std::mt19937 rng(20261203);
  ThreadPool pool(1);
  const Model model(std::make_shared<HeadOnly>(100, 1, rng), kernels::choose_table(""), 0, pool);
  for (const float bad : {std::nanf(""), HUGE_VALF}) {
    std::vector<float> h = hidden_states(256, rng);
    h[3] = bad;
    std::vector<TokenLogit> list;
    const BestRequest request{.count = 1, .within = 0, .always = {}};
    Head(model).best(h, {&request, 1}, {&list, 1}, pool);
    EXPECT_TRUE(
        std::ranges::any_of(list, [](const TokenLogit& one) { return !std::isfinite(one.logit); }));
  }
}

// One row points along the hidden state: hardly another one is looked at twice.
TEST(Head, AClearChoiceReadsLittleMoreThanTheHighBits) {
  std::mt19937 rng(20261204);
  ThreadPool pool(2);
  const auto checkpoint = std::make_shared<HeadOnly>(4000, 4, rng);
  const Model model(checkpoint, kernels::choose_table(""), 0, pool);
  const auto& sliced = std::get<SlicedMatrix>(model.head());
  std::vector<float> h(1024);
  kernels::sliced_row(model.kernels(), sliced, 1234, h.data());
  for (float& v : h) v *= 50;
  std::vector<TokenLogit> list;
  const BestRequest request{.count = 1, .within = 0, .always = {}};
  const BestWork work = Head(model).best(h, {&request, 1}, {&list, 1}, pool);
  EXPECT_EQ(list.at(0).id, 1234u);
  EXPECT_LE(work.exact, 3u);
  EXPECT_GE(work.bytes, 4000 * sliced.record_bytes());
  EXPECT_LT(work.bytes, 4000 * sliced.record_bytes() * 102 / 100);
}

// Logits and embeddings of a sliced head are those of the file's matrix.
TEST(Head, SlicingChangesNoNumber) {
  std::mt19937 rng(20261205);
  ThreadPool pool(2);
  const auto checkpoint = std::make_shared<HeadOnly>(77, 2, rng);
  const DenseMatrix dense = checkpoint->dense();
  for (const auto* table : usable_tables()) {
    const Model model(checkpoint, *table, 0, pool);
    const std::vector<float> h = hidden_states(3 * 512, rng);
    std::vector<float> got(3 * 77), want(3 * 77);
    Head(model).logits(h, got, pool);
    kernels::dense_matmul(*table, dense, h.data(), 512, 3, want.data(), 77, pool);
    EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * 4), 0);
    // Without layers the hidden state is the normed embedding.
    KvPool cache(model.config(), 16, kernels::KvType::kF32, kernels::KvType::kF32);
    Session session(cache);
    Forward forward(model, pool, 1);
    const std::uint32_t token = 76;
    const auto hidden = forward.run({{&session, {&token, 1}, 0}});
    std::vector<float> row(512);
    dense_row_to_float(DType::kQ6_K, dense.row(76), 512, row.data());
    double squares = 0;
    for (const float v : row) squares += static_cast<double>(v) * static_cast<double>(v);
    const double scale = 1 / std::sqrt(squares / 512 + 1e-5);
    for (std::size_t c = 0; c < 512; ++c) {
      ASSERT_NEAR(static_cast<double>(hidden[c]), static_cast<double>(row[c]) * scale, 1e-5);
    }
  }
}

}  // namespace
}  // namespace tern::model
