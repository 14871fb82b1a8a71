// What a teacher adds, by numbers worked out on paper: two classes, two tokens.
#include "tern/train/distillation.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tern/base/error.h"

namespace tern::train {
namespace {

using torch::Tensor;

// Of (1/4, 3/4) to (1/2, 1/2): log 2 + (log 1/4 + 3 log 3/4) / 4.
const double kQuarterToHalf = std::log(2) + (std::log(0.25) + 3 * std::log(0.75)) / 4;

// Two tokens whose vectors are at right angles have R = softmax(1, 0) = (p, 1 - p), two in one
// direction (1/2, 1/2).
const double kP = std::exp(1) / (1 + std::exp(1));
const double kLineToSquare = -std::log(2) - (std::log(kP) + std::log(1 - kP)) / 2;
const double kSquareToLine = std::log(2) + kP * std::log(kP) + (1 - kP) * std::log(1 - kP);

// (1, heads, tokens, width) from each token's numbers, heads side by side.
Tensor states(const std::vector<std::vector<float>>& tokens, std::int64_t heads) {
  std::vector<Tensor> rows;
  for (const auto& token : tokens) rows.push_back(torch::tensor(token));
  return torch::stack(rows)
      .view({1, static_cast<std::int64_t>(tokens.size()), heads, -1})
      .transpose(1, 2);
}

Tensor segments(const std::vector<std::int64_t>& numbers) {
  return torch::tensor(numbers).unsqueeze(0);
}

const std::vector<std::vector<float>> kSquare{{3, 0}, {0, 5}}, kLine{{2, 2}, {7, 7}};

double relations(const AttentionStates& student, const AttentionStates& teacher,
                 std::int64_t heads = 1, const Tensor& segments = {}) {
  return relation_divergence(student, teacher, heads, segments).item<double>();
}

TEST(LogitDivergence, ByHand) {
  const auto log3 = static_cast<float>(std::log(3));
  const Tensor teacher = torch::tensor({0.0f, 2 * log3}).view({1, 2});
  Tensor student = torch::full({1, 2}, 4.0f).requires_grad_();
  const Tensor loss = logit_divergence(student, teacher, 2, {});
  EXPECT_NEAR(loss.item<double>(), kQuarterToHalf, 1e-6);
  loss.backward();
  // (softmax of the student - softmax of the teacher) / T.
  EXPECT_NEAR(student.grad()[0][0].item<double>(), (0.5 - 0.25) / 2, 1e-6);
  EXPECT_NEAR(student.grad()[0][1].item<double>(), (0.5 - 0.75) / 2, 1e-6);
}

TEST(LogitDivergence, RowsAreWeighedAndSummed) {
  const auto log3 = static_cast<float>(std::log(3));
  const Tensor teacher = torch::tensor({0.0f, log3, log3, 0.0f, 50.0f, 0.0f}).view({3, 2});
  const Tensor student = torch::zeros({3, 2});
  EXPECT_NEAR(
      logit_divergence(student, teacher, 1, torch::tensor({1.0f, 1.0f, 0.0f})).item<double>(),
      2 * kQuarterToHalf, 1e-6);
  EXPECT_NEAR(logit_divergence(student, teacher, 1, {}).item<double>(),
              2 * kQuarterToHalf + std::log(2), 1e-6);
}

TEST(LogitDivergence, IsNotTheSameBothWays) {
  const Tensor quarter = torch::tensor({0.0f, static_cast<float>(std::log(3))}).view({1, 2});
  const double back = logit_divergence(quarter, torch::zeros({1, 2}), 1, {}).item<double>();
  EXPECT_NEAR(back, -std::log(2) - (std::log(0.25) + std::log(0.75)) / 2, 1e-6);
}

TEST(LogitDivergence, WhatATeacherRulesOutAddsNothing) {
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor teacher = torch::tensor({0.0f, -infinity}).view({1, 2});
  Tensor student = torch::zeros({1, 2}).requires_grad_();
  const Tensor loss = logit_divergence(student, teacher, 1, {});
  EXPECT_NEAR(loss.item<double>(), std::log(2), 1e-6);
  loss.backward();
  EXPECT_TRUE(student.grad().isfinite().all().item<bool>());
}

TEST(RelationDivergence, ByHand) {
  const Tensor square = states(kSquare, 1), line = states(kLine, 1);
  EXPECT_NEAR(relations({line, line, line}, {square, line, line}), kSquareToLine, 1e-6);
  EXPECT_NEAR(relations({square, line, line}, {line, line, line}), kLineToSquare, 1e-6);
  // q, k and v add up.
  EXPECT_NEAR(relations({line, square, line}, {square, line, square}),
              2 * kSquareToLine + kLineToSquare, 1e-6);
  EXPECT_NEAR(relations({square, square, square}, {square, square, square}), 0, 1e-6);
}

TEST(RelationDivergence, LengthsDoNotMatter) {
  const Tensor square = states(kSquare, 1), line = states(kLine, 1);
  EXPECT_NEAR(relations({line * 100, line, line}, {square * 0.01, line, line}), kSquareToLine,
              1e-6);
  const Tensor nothing = torch::zeros_like(line);
  EXPECT_TRUE(std::isfinite(relations({nothing, line, line}, {square, line, line})));
}

// Numbers of a token stand side by side over the heads that they come from.
TEST(RelationDivergence, RelationHeadsCutAcrossHeads) {
  // Of two relation heads, the first is a right angle, the second one direction.
  const std::vector<std::vector<float>> mixed{{3, 0, 0, 1}, {0, 5, 0, 2}};
  const std::vector<std::vector<float>> straight{{2, 2, 2, 2, 2, 2, 2, 2},
                                                 {1, 1, 1, 1, 1, 1, 1, 1}};
  const Tensor teacher = states(straight, 1);
  for (const std::int64_t heads : {1, 2, 4}) {
    const Tensor student = states(mixed, heads);
    EXPECT_NEAR(relations({student, student, student}, {teacher, teacher, teacher}, 2),
                3 * kLineToSquare / 2, 1e-6)
        << heads;
  }
}

TEST(RelationDivergence, EveryTokenSeesTheWholeWindow) {
  // Without the tokens behind it, the first of three would be related to itself alone.
  const Tensor line = states({{1, 0}, {1, 0}, {1, 0}}, 1);
  const Tensor teacher = states({{1, 0}, {0, 1}, {0, 1}}, 1);
  const double e = std::exp(1);
  const auto divergence = [](std::vector<double> chances) {  // To (1/3, 1/3, 1/3).
    double sum = 0;
    for (const double chance : chances) sum += chance * std::log(3 * chance);
    return sum;
  };
  const double first = divergence({e / (e + 2), 1 / (e + 2), 1 / (e + 2)});
  const double other = divergence({1 / (1 + 2 * e), e / (1 + 2 * e), e / (1 + 2 * e)});
  EXPECT_NEAR(relations({line, line, line}, {teacher, line, line}), (first + 2 * other) / 3, 1e-6);
}

TEST(RelationDivergence, SegmentsKeepApartAndPaddingDoesNotCount) {
  const Tensor student = states({{2, 2}, {7, 7}, {1, 0}}, 1);
  const Tensor teacher = states({{3, 0}, {0, 5}, {0, 9}}, 1);
  const auto with = [&](const std::vector<std::int64_t>& numbers) {
    return relations({student, student, student}, {teacher, student, student}, 1,
                     segments(numbers));
  };
  EXPECT_NEAR(with({0, 0, 1}), 2 * kSquareToLine / 3, 1e-6);
  EXPECT_NEAR(with({0, 0, -1}), kSquareToLine, 1e-6);
  EXPECT_NEAR(with({0, 1, 2}), 0, 1e-6);
  EXPECT_EQ(with({-1, -1, -1}), 0);
}

TEST(RelationDivergence, GradientsOfSegmentsAreFinite) {
  Tensor student = states({{2, 1}, {1, 3}, {1, 0}}, 1).detach().requires_grad_();
  const Tensor teacher = states({{3, 0}, {0, 5}, {0, 9}}, 1);
  relation_divergence({student, student, student}, {teacher, teacher, teacher}, 1,
                      segments({0, 0, -1}))
      .backward();
  EXPECT_TRUE(student.grad().isfinite().all().item<bool>());
  EXPECT_GT(student.grad().slice(2, 0, 2).abs().max().item<double>(), 0.01);
  EXPECT_EQ(student.grad().slice(2, 2).abs().max().item<double>(), 0);
}

// A step's loss must not hang on which windows share a batch.
TEST(RelationDivergence, AWindowCountsAlikeHoweverFullItIs) {
  torch::manual_seed(3);
  const auto random = [] { return torch::randn({2, 2, 6, 4}); };
  const AttentionStates student{random(), random(), random()};
  const AttentionStates teacher{random(), random(), random()};
  const Tensor both = torch::tensor({0, 0, 0, 1, 1, 1, 0, 0, -1, -1, -1, -1}).view({2, 6});
  const auto window = [](const AttentionStates& of, std::int64_t i) {
    return AttentionStates{of.q.slice(0, i, i + 1), of.k.slice(0, i, i + 1),
                           of.v.slice(0, i, i + 1)};
  };
  const auto one = [&](std::int64_t i) {
    return relations(window(student, i), window(teacher, i), 2, both.slice(0, i, i + 1));
  };
  EXPECT_GT(std::abs(one(0) - one(1)), 1e-3);
  EXPECT_NEAR(relations(student, teacher, 2, both), (one(0) + one(1)) / 2, 1e-6);
}

TEST(RelationDivergence, AWidthThatHeadsDoNotDivideIsRefused) {
  const Tensor s = states(kSquare, 1);
  try {
    relation_divergence({s, s, s}, {s, s, s}, 3, {});
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("2 columns and 3 relation heads"), std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace tern::train
