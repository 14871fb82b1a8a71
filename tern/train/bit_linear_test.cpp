// BitLinear against the method written out with libtorch's own operations.
#include "tern/train/bit_linear.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "tern/base/error.h"

namespace tern::train {
namespace {

using torch::Tensor;

// The method as the FAQ's listing has it: x + (q(x) - x).detach(), in float32 tensors alone.
Tensor through(const Tensor& x, const Tensor& q, double lambda) {
  return x + lambda * (q - x).detach();
}
Tensor plain_activations(const Tensor& x) {
  const Tensor s = 127.0 / std::get<0>(x.abs().max(-1, true)).clamp_min(1e-5);
  return (x * s).round().clamp(-128, 127) / s;
}
Tensor plain_weights(const Tensor& w, const WeightFormat& format) {
  Tensor groups = w;
  if (format.scale == ScaleKind::kTensor) groups = w.reshape({1, -1});
  if (format.scale == ScaleKind::kGroup) groups = w.reshape({-1, format.group});
  const Tensor mean = groups.abs().mean(-1, true).clamp_min(1e-5);
  const Tensor q = format.kind == WeightKind::kTernary
                       ? (groups / mean).round().clamp(-1, 1) * mean
                       : (groups - groups.mean(-1, true)).sign() * mean;
  return q.reshape(w.sizes());
}

double difference(const Tensor& a, const Tensor& b) {
  return ((a - b).norm() / (b.norm() + 1e-12)).item<double>();
}

struct Case {
  WeightKind kind;
  ScaleKind scale;
  double lambda;
};
void PrintTo(const Case& c, std::ostream* os) {
  *os << name(c.kind) << " scale " << static_cast<int>(c.scale) << " lambda " << c.lambda;
}

class BitLinearMethod : public testing::TestWithParam<Case> {};

TEST_P(BitLinearMethod, OutputAndGradientsAreTheListings) {
  torch::manual_seed(7);
  const Case c = GetParam();
  const WeightFormat format{c.kind, c.scale, 32};
  BitLinear layer(BitLinearOptions(96, 48).bias(true).format(format).lambda(c.lambda));
  const Tensor x = torch::randn({3, 5, 96}) * torch::rand({3, 5, 1}) * 4;
  const Tensor dy = torch::randn({3, 5, 48});

  const Tensor x1 = x.clone().requires_grad_(true);
  const Tensor y1 = layer(x1);
  y1.backward(dy);

  const Tensor x2 = x.clone().requires_grad_(true);
  const Tensor w2 = layer->weight.detach().clone().requires_grad_(true);
  const bool full = c.kind == WeightKind::kFullPrecision;
  const Tensor xq = full ? x2 : through(x2, plain_activations(x2), c.lambda);
  const Tensor wq = full ? w2 : through(w2, plain_weights(w2, format), c.lambda);
  const Tensor y2 = torch::nn::functional::linear(xq, wq, layer->bias.detach());
  y2.backward(dy);

  EXPECT_LT(difference(y1, y2), 1e-5);
  EXPECT_LT(difference(x1.grad(), x2.grad()), 1e-5);
  EXPECT_LT(difference(layer->weight.grad(), w2.grad()), 1e-5);
  EXPECT_LT(difference(layer->bias.grad(), dy.sum(std::vector<std::int64_t>{0, 1})), 1e-5);
}

std::vector<Case> cases() {
  std::vector<Case> all{{WeightKind::kFullPrecision, ScaleKind::kTensor, 1}};
  for (const WeightKind kind : {WeightKind::kTernary, WeightKind::kBinary}) {
    for (const ScaleKind scale : {ScaleKind::kTensor, ScaleKind::kRow, ScaleKind::kGroup}) {
      for (const double lambda : {0.0, 0.3, 1.0}) all.push_back({kind, scale, lambda});
    }
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(AllKinds, BitLinearMethod, testing::ValuesIn(cases()));

// Numbers from the definition, by hand.
TEST(QuantizeOps, HandComputedNumbers) {
  // max 127: the scale is 1, and halves go to the even neighbour.
  const Tensor x = torch::tensor({{127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 0.49f, -127.0f}});
  const Scaled a = quantize_activations(x, 1, torch::kFloat32);
  EXPECT_TRUE(
      torch::equal(a.values, torch::tensor({{127.f, 0.f, 2.f, 2.f, 0.f, -2.f, 0.f, -127.f}})));
  EXPECT_FLOAT_EQ(a.scales.item<float>(), 1.0f);

  // mean|W| = 1: 0.5 rounds to 0, 1.5 to 2 and is clamped.
  const Tensor w = torch::tensor({{0.5f, -0.5f, 1.5f, -1.5f}, {0.51f, -2.49f, 1.0f, 0.0f}});
  EXPECT_FLOAT_EQ(w.abs().mean().item<float>(), 1.0f);
  const Scaled b = quantize_weights(w, {}, 1, torch::kFloat32);
  EXPECT_TRUE(
      torch::equal(b.values, torch::tensor({{0.f, 0.f, 1.f, -1.f}, {1.f, -1.f, 1.f, 0.f}})));
  EXPECT_FLOAT_EQ(b.scales.item<float>(), 1.0f);

  // b1 of a row with mean 0.25: what equals the mean is 0.
  const Tensor v = torch::tensor({{1.0f, 0.25f, -0.5f, 0.25f}});
  const Scaled binary = quantize_weights(v, {WeightKind::kBinary}, 1, torch::kFloat32);
  EXPECT_TRUE(torch::equal(binary.values, torch::tensor({{1.f, 0.f, -1.f, 0.f}})));
  EXPECT_FLOAT_EQ(binary.scales.item<float>(), 0.5f);
}

TEST(QuantizeOps, ZerosStayZerosAndHugeValuesAreClamped) {
  const Scaled a = quantize_activations(torch::zeros({2, 40}), 1, torch::kFloat32);
  EXPECT_EQ(a.values.abs().max().item<float>(), 0);
  EXPECT_TRUE(a.scales.isfinite().all().item<bool>());
  const Scaled w = quantize_weights(torch::zeros({4, 40}), {}, 1, torch::kFloat32);
  EXPECT_EQ(w.values.abs().max().item<float>(), 0);
  EXPECT_FLOAT_EQ(w.scales.item<float>(), 1e-5f);
  // One weight far above 2^22 times the mean: the digit is still 1.
  Tensor lone = torch::zeros({64, 1024});
  lone[5][7] = 3e30f;
  const Tensor digits = quantized_weights(lone, {}).digits;
  EXPECT_EQ(digits.sum().item<std::int64_t>(), 1);
  EXPECT_EQ(digits[5][7].item<int>(), 1);
}

TEST(QuantizeOps, BFloat16HoldsTheSameLevels) {
  torch::manual_seed(3);
  const Tensor x = torch::randn({9, 200});
  const Scaled full = quantize_activations(x, 1, torch::kFloat32);
  const Scaled half = quantize_activations(x, 1, torch::kBFloat16);
  EXPECT_TRUE(torch::equal(full.values, half.values.to(torch::kFloat32)));
  const Scaled w = quantize_weights(x, {}, 1, torch::kFloat32);
  EXPECT_TRUE(torch::equal(
      w.values, quantize_weights(x, {}, 1, torch::kBFloat16).values.to(torch::kFloat32)));
  EXPECT_TRUE(torch::equal(w.values, quantized_weights(x, {}).digits.to(torch::kFloat32)));
}

TEST(QuantizeOps, ThreadsDoNotChangeTheResult) {
  torch::manual_seed(4);
  const Tensor w = torch::randn({300, 1000});
  torch::set_num_threads(1);
  const Scaled one = quantize_weights(w, {}, 1, torch::kFloat32);
  torch::set_num_threads(3);
  const Scaled three = quantize_weights(w, {}, 1, torch::kFloat32);
  torch::set_num_threads(1);
  EXPECT_TRUE(torch::equal(one.values, three.values));
  EXPECT_TRUE(torch::equal(one.scales, three.scales));
}

TEST(FusedOps, RmsNormIsTheFormula) {
  torch::manual_seed(5);
  const Tensor x = torch::randn({7, 3, 50}), w = torch::rand({50}) + 0.5,
               dy = torch::randn({7, 3, 50});
  const Tensor x1 = x.clone().requires_grad_(true), w1 = w.clone().requires_grad_(true);
  const Tensor y1 = rms_norm(x1, w1, 1e-3);
  y1.backward(dy);
  const Tensor x2 = x.clone().requires_grad_(true), w2 = w.clone().requires_grad_(true);
  const Tensor y2 = x2 * torch::rsqrt(x2.pow(2).mean(-1, true) + 1e-3) * w2;
  y2.backward(dy);
  EXPECT_LT(difference(y1, y2), 1e-6);
  EXPECT_LT(difference(x1.grad(), x2.grad()), 1e-5);
  EXPECT_LT(difference(w1.grad(), w2.grad()), 1e-5);
}

TEST(FusedOps, SquaredReluGateIsTheFormula) {
  torch::manual_seed(8);
  const Tensor g = torch::randn({4, 5, 30}), u = torch::randn({4, 5, 30}),
               dy = torch::randn({4, 5, 30});
  const Tensor g1 = g.clone().requires_grad_(true), u1 = u.clone().requires_grad_(true);
  squared_relu_gate(g1, u1).backward(dy);
  const Tensor g2 = g.clone().requires_grad_(true), u2 = u.clone().requires_grad_(true);
  const Tensor y2 = torch::relu(g2).square() * u2;
  y2.backward(dy);
  EXPECT_LT(difference(squared_relu_gate(g, u), y2), 1e-6);
  EXPECT_LT(difference(g1.grad(), g2.grad()), 1e-6);
  EXPECT_LT(difference(u1.grad(), u2.grad()), 1e-6);
}

TEST(FusedOps, AWrongWidthIsRefused) {
  EXPECT_THROW(rms_norm(torch::randn({2, 9}), torch::ones({8}), 1e-5), c10::Error);
  EXPECT_THROW(squared_relu_gate(torch::randn({2, 9}), torch::randn({2, 8})), c10::Error);
}

TEST(FusedOps, RotatedHeadsIsTheFormula) {
  torch::manual_seed(9);
  const Tensor x = torch::randn({2, 7, 24}), dy = torch::randn({2, 3, 7, 8});
  const Tensor angles = torch::rand({7, 4}) * 6;
  const RopeTables rope{angles.cos(), angles.sin()};
  const Tensor x1 = x.clone().requires_grad_(true), x2 = x.clone().requires_grad_(true);
  const Tensor y1 = rotated_heads(x1, 3, rope);
  y1.backward(dy);
  const Tensor apart = x2.view({2, 7, 3, 8}).transpose(1, 2);
  const auto halves = apart.chunk(2, -1);
  const Tensor cos = torch::cat({rope.cos, rope.cos}, 1), sin = torch::cat({rope.sin, rope.sin}, 1);
  const Tensor y2 = apart * cos + torch::cat({-halves[1], halves[0]}, -1) * sin;
  y2.backward(dy);
  EXPECT_LT(difference(y1, y2), 1e-6);
  EXPECT_LT(difference(x1.grad(), x2.grad()), 1e-6);
}

TEST(BitLinearModule, IsAModuleAsOthersAre) {
  BitLinear layer(BitLinearOptions(8, 4).bias(true).norm(true));
  EXPECT_EQ(layer->named_parameters().keys(),
            (std::vector<std::string>{"weight", "bias", "norm_weight"}));
  EXPECT_EQ(BitLinear(8, 4)->named_parameters().keys(), (std::vector<std::string>{"weight"}));
  std::ostringstream text;
  text << *layer;
  EXPECT_NE(text.str().find("in_features=8, out_features=4, bias=true, weights=b1.58, norm=true"),
            std::string::npos);
  const auto copy = std::dynamic_pointer_cast<BitLinearImpl>(layer->clone());
  const Tensor x = torch::randn({2, 8});
  EXPECT_TRUE(torch::equal(copy->forward(x), layer(x)));
  copy->weight.detach().fill_(1);
  EXPECT_FALSE(torch::equal(copy->forward(x), layer(x)));

  std::stringstream saved;
  torch::save(layer, saved);
  BitLinear loaded(BitLinearOptions(8, 4).bias(true).norm(true));
  torch::load(loaded, saved);
  EXPECT_TRUE(torch::equal(loaded(x), layer(x)));
}

torch::nn::Sequential three_layers() {
  return torch::nn::Sequential(torch::nn::Linear(6, 5), torch::nn::ReLU(),
                               torch::nn::Linear(torch::nn::LinearOptions(5, 4).bias(false)),
                               torch::nn::Linear(4, 2));
}

TEST(ReplaceLinears, ChangesWhatTheFilterTakesAndNamesIt) {
  torch::nn::Sequential model = three_layers();
  const Tensor old = model[0]->as<torch::nn::Linear>()->weight.detach().clone();
  const auto names = replace_linears(
      *model, [](const std::string& name, const torch::nn::LinearImpl&) { return name != "3"; });
  EXPECT_EQ(names, (std::vector<std::string>{"0", "2"}));
  auto* first = model[0]->as<BitLinear>();
  ASSERT_NE(first, nullptr);
  EXPECT_TRUE(torch::equal(first->weight, old));
  EXPECT_TRUE(first->bias.defined());
  EXPECT_NE(model[3]->as<torch::nn::Linear>(), nullptr);
  // What runs is what is registered.
  const Tensor x = torch::randn({3, 6});
  const Tensor y = model->forward(x);
  EXPECT_EQ(model->parameters().size(), 5u);
  first->weight.detach().mul_(-1);
  EXPECT_FALSE(torch::equal(model->forward(x), y));
}

TEST(ReplaceLinears, ALayerThatWouldGoOnUnchangedIsRefused) {
  struct Net : torch::nn::Module {
    Net()
        : body(register_module("body", three_layers())),
          fc(register_module("fc", torch::nn::Linear(2, 2))) {}
    torch::nn::Sequential body;
    torch::nn::Linear fc;
  } net;
  try {
    replace_linears(net, {});
    FAIL() << "a typed member was replaced";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("'fc'"), std::string::npos) << e.what();
  }
  EXPECT_NE(net.body[0]->as<torch::nn::Linear>(), nullptr) << "nothing is changed";
  const auto names = replace_linears(
      net, [](const std::string& name, const torch::nn::LinearImpl&) { return name != "fc"; });
  EXPECT_EQ(names, (std::vector<std::string>{"body.0", "body.2", "body.3"}));
}

TEST(ReplaceLinears, ASequentialMayNameItsLayers) {
  torch::nn::Sequential model;
  model->push_back("one", torch::nn::Linear(3, 4));
  model->push_back("0", torch::nn::Linear(4, 2));
  const auto names = replace_linears(
      *model, [](const std::string& name, const torch::nn::LinearImpl&) { return name == "0"; });
  EXPECT_EQ(names, (std::vector<std::string>{"0"}));
  EXPECT_NE(model[0]->as<torch::nn::Linear>(), nullptr);
  ASSERT_NE(model[1]->as<BitLinear>(), nullptr);
  EXPECT_EQ(model->forward(torch::randn({1, 3})).size(1), 2);
}

TEST(ReplaceLinears, ModuleListsToo) {
  torch::nn::ModuleList list(torch::nn::Linear(3, 3), torch::nn::ReLU());
  EXPECT_EQ(replace_linears(*list, {}), (std::vector<std::string>{"0"}));
  EXPECT_NE(list[0]->as<BitLinear>(), nullptr);
}

}  // namespace
}  // namespace tern::train
