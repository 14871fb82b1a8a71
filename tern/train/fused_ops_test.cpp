// Fused loops against libtorch's own operations: attention's softmax, the head's loss, AdamW.
#include "tern/train/fused_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tern/train/adamw.h"
#include "tern/train/head_loss.h"
#include "tern/train/row_math.h"
#include "tern/train/transformer.h"

namespace tern::train {
namespace {

using torch::Tensor;

double difference(const Tensor& a, const Tensor& b) {
  return ((a - b).norm() / (b.norm() + 1e-12)).item<double>();
}

Tensor masked_softmax(const Tensor& scores, double scale, const Tensor& segments) {
  const std::int64_t n = scores.size(3);
  Tensor seen = torch::ones({n, n}, torch::kBool).tril().expand(scores.sizes());
  if (segments.defined()) {
    seen = seen & segments.unsqueeze(2).eq(segments.unsqueeze(1)).unsqueeze(1);
  }
  return (scores * scale).masked_fill(~seen, -std::numeric_limits<float>::infinity()).softmax(-1);
}

TEST(CausalSoftmax, IsTheMaskedSoftmaxAndItsGradient) {
  torch::manual_seed(3);
  const Tensor scores = torch::randn({2, 3, 37, 37}) * 4, dy = torch::randn({2, 3, 37, 37});
  Tensor segments = torch::zeros({2, 37}, torch::kInt64);
  segments.slice(1, 5, 20).fill_(1);
  segments.slice(1, 20).fill_(2);
  segments[1].fill_(-1);
  for (const Tensor& s : {Tensor(), segments}) {
    const Tensor a = scores.clone().requires_grad_(true), b = scores.clone().requires_grad_(true);
    const Tensor ya = causal_softmax(a, 0.3, first_keys(s)), yb = masked_softmax(b, 0.3, s);
    ya.backward(dy);
    yb.backward(dy);
    EXPECT_LT(difference(ya, yb), 1e-6);
    EXPECT_LT(difference(a.grad(), b.grad()), 1e-5);
  }
  const Tensor half = causal_softmax(scores.to(torch::kBFloat16), 0.3, {});
  EXPECT_EQ(half.scalar_type(), torch::kBFloat16);
  EXPECT_LT(difference(half.to(torch::kFloat32), masked_softmax(scores, 0.3, {})), 2e-2);
}

TEST(FirstKeys, AreWhereRunsBegin) {
  const Tensor segments = torch::tensor({{0, 0, 1, 1, 1, -1}, {4, 5, 4, 4, 4, 4}}, torch::kInt64);
  const Tensor expected = torch::tensor({{0, 0, 2, 2, 2, 5}, {0, 1, 2, 2, 2, 2}}, torch::kInt64);
  EXPECT_TRUE(torch::equal(first_keys(segments), expected));
  EXPECT_FALSE(first_keys({}).defined());
}

// The second shape has rows of so many logits that they are made a few at a time.
TEST(HeadLoss, IsTheCrossEntropyAndItsGradients) {
  torch::manual_seed(4);
  for (const auto& [count, vocab] : {std::pair<std::int64_t, std::int64_t>{50, 33}, {40, 300000}}) {
    const Tensor h = torch::randn({count, 8}), e = torch::randn({vocab, 8});
    const Tensor targets = torch::randint(0, vocab, {count});
    const Tensor h1 = h.clone().requires_grad_(true), e1 = e.clone().requires_grad_(true);
    // In double: libtorch's own float32 sums over 300,000 terms are further off than the limit.
    const Tensor h2 = h.to(torch::kFloat64).requires_grad_(true);
    const Tensor e2 = e.to(torch::kFloat64).requires_grad_(true);
    const Tensor a = head_loss(h1, e1, targets, torch::kFloat32);
    const Tensor b = torch::nn::functional::cross_entropy(
        torch::mm(h2, e2.t()), targets,
        torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
    EXPECT_NEAR(a.item<double>(), b.item<double>(), 1e-6 * b.item<double>());
    (a * 0.5).backward();
    (b * 0.5).backward();
    EXPECT_LT(difference(h1.grad(), h2.grad()), 1e-5);
    EXPECT_LT(difference(e1.grad(), e2.grad()), 1e-5);
    const torch::NoGradGuard no_grad;
    EXPECT_EQ(head_loss(h1, e1, targets, torch::kFloat32).item<float>(), a.item<float>());
  }
}

TEST(AdamW, IsTorchsOverManySteps) {
  torch::manual_seed(5);
  torch::nn::Linear a(40, 30), b(40, 30);
  {
    const torch::NoGradGuard no_grad;
    b->weight.copy_(a->weight);
    b->bias.copy_(a->bias);
  }
  AdamW ours(a->named_parameters(), {0.9, 0.95, 1e-8});
  torch::optim::AdamWOptions options(0.0);
  options.betas({0.9, 0.95}).eps(1e-8);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(std::vector<Tensor>{b->weight},
                      std::make_unique<torch::optim::AdamWOptions>(options));
  groups.emplace_back(std::vector<Tensor>{b->bias},
                      std::make_unique<torch::optim::AdamWOptions>(options));
  torch::optim::AdamW torchs(std::move(groups), options);
  for (int step = 0; step < 20; ++step) {
    const Tensor dw = torch::randn({30, 40}), db = torch::randn({30});
    a->weight.mutable_grad() = dw.clone();
    a->bias.mutable_grad() = db.clone();
    b->weight.mutable_grad() = dw * 0.25;
    b->bias.mutable_grad() = db * 0.25;
    const Rates rates{1e-2 / (step + 1), 0.1};
    for (std::size_t i = 0; i < 2; ++i) {
      auto& o = static_cast<torch::optim::AdamWOptions&>(torchs.param_groups()[i].options());
      o.lr(rates.learning_rate);
      o.weight_decay(i == 0 ? rates.weight_decay : 0);
    }
    EXPECT_NEAR(ours.gradient_norm(), torch::cat({dw.view({-1}), db}).norm().item<double>(), 1e-4);
    ours.step(rates, 0.25);
    torchs.step();
  }
  EXPECT_LT(difference(a->weight, b->weight), 1e-6);
  EXPECT_LT(difference(a->bias, b->bias), 1e-6);
  EXPECT_LT((a->weight - b->weight).abs().max().item<double>(), 1e-6);
}

TEST(RowMath, ExpIsExp) {
  std::vector<float> x;
  for (float v = -86.0f; v <= 0.0f; v += 0.01f) x.push_back(v);
  std::vector<float> y = x;
  rows::exp_below(y.data(), static_cast<std::int64_t>(y.size()), 0.0f);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    EXPECT_LT(std::abs(static_cast<double>(y[i]) - exact) / exact, 3 * 6e-8) << x[i];
  }
}

}  // namespace
}  // namespace tern::train
