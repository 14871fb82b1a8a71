// Groups of layers on tern's kernels against the same layers one by one in plain libtorch.
#include "tern/train/linear_group.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tern/train/fused_ops.h"

namespace tern::train {
namespace {

using torch::Tensor;

double difference(const Tensor& a, const Tensor& b) {
  return ((a - b).norm() / (b.norm() + 1e-12)).item<double>();
}

struct Case {
  std::string name;
  WeightFormat format;
  double lambda = 1;
  bool gate = false, silu = false, norm = false;
  std::int64_t rows = 70, width = 96;
};
void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }

// Inputs and layers of a case, with the plain path beside the group.
struct Bench {
  explicit Bench(const Case& c, torch::Dtype type = torch::kFloat32) : c_(c) {
    torch::manual_seed(11);
    for (const std::int64_t out : {37, 16, 80}) {
      layers.emplace_back(
          BitLinearOptions(c.width, out).format(c.format).lambda(c.lambda).product_type(type));
    }
    x = torch::randn({2, c.rows / 2, c.width}) * torch::rand({2, c.rows / 2, 1}) * 3;
    up = torch::randn({2, c.rows / 2, c.width});
    weight = torch::rand({c.width}) + 0.5;
    for (Tensor* t : {&x, &up, &weight}) t->requires_grad_(true);
  }

  std::vector<Tensor> together(GroupOutput output = GroupOutput::kFloat32) {
    LinearGroup group(layers, output);
    return group(input());
  }
  GroupInput input() const {
    GroupInput in{.x = x};
    if (c_.gate) in.up = up;
    in.activation = c_.silu ? arch::GateActivation::kSilu : arch::GateActivation::kReluSquared;
    if (c_.norm) in.norm_weight = weight;
    in.norm_eps = 1e-4;
    return in;
  }
  std::vector<Tensor> apart() {
    Tensor z = x;
    if (c_.gate) z = c_.silu ? torch::silu(x) * up : squared_relu_gate(x, up);
    if (c_.norm) z = rms_norm(z, weight, 1e-4);
    std::vector<Tensor> outputs;
    for (BitLinear& layer : layers) outputs.push_back(layer(z));
    return outputs;
  }
  // Gradients of x, up, norm and weights for outputs that are weighted with fixed numbers.
  std::vector<Tensor> gradients(const std::vector<Tensor>& outputs) {
    std::vector<Tensor> of{x};
    if (c_.gate) of.push_back(up);
    if (c_.norm) of.push_back(weight);
    for (const BitLinear& layer : layers) of.push_back(layer->weight);
    torch::manual_seed(12);
    Tensor sum = torch::zeros({});
    for (const Tensor& y : outputs) {
      sum = sum + (y.to(torch::kFloat32) * torch::randn(y.sizes())).sum();
    }
    return torch::autograd::grad({sum}, of);
  }

  std::vector<BitLinear> layers;
  Tensor x, up, weight;

 private:
  Case c_;
};

class Groups : public testing::TestWithParam<Case> {};

TEST_P(Groups, AreTheLayersOneByOne) {
  Bench bench(GetParam());
  const auto a = bench.together(), b = bench.apart();
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].sizes(), b[i].sizes());
    EXPECT_LT(difference(a[i], b[i]), 2e-6) << "output " << i;
  }
  const auto da = bench.gradients(a), db = bench.gradients(b);
  for (std::size_t i = 0; i < da.size(); ++i) {
    EXPECT_LT(difference(da[i], db[i]), 1e-5) << "gradient " << i;
  }
}

TEST_P(Groups, BFloat16IsNear) {
  Bench exact(GetParam()), half(GetParam(), torch::kBFloat16);
  const auto a = half.together(GroupOutput::kProductType), b = exact.apart();
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].scalar_type(), torch::kBFloat16);
    EXPECT_LT(difference(a[i].to(torch::kFloat32), b[i]), 6e-3) << "output " << i;
  }
  const auto da = half.gradients(a), db = exact.gradients(b);
  for (std::size_t i = 0; i < da.size(); ++i) {
    EXPECT_LT(difference(da[i], db[i]), 2e-2) << "gradient " << i;
  }
}

constexpr auto kT = WeightKind::kTernary;
INSTANTIATE_TEST_SUITE_P(
    AllKinds, Groups,
    testing::Values(
        Case{.name = "tensor", .format = {}},
        Case{.name = "row", .format = {kT, ScaleKind::kRow, 0}},
        Case{.name = "group", .format = {kT, ScaleKind::kGroup, 64}, .width = 192},
        Case{.name = "narrow_group", .format = {kT, ScaleKind::kGroup, 32}},
        Case{.name = "binary", .format = {WeightKind::kBinary, ScaleKind::kTensor, 0}},
        Case{.name = "full", .format = {WeightKind::kFullPrecision, ScaleKind::kTensor, 0}},
        Case{.name = "norm", .format = {}, .norm = true, .rows = 600},
        Case{.name = "gate", .format = {}, .gate = true},
        Case{.name = "gate_norm", .format = {}, .gate = true, .norm = true, .width = 300},
        Case{.name = "silu_norm", .format = {}, .gate = true, .silu = true, .norm = true},
        Case{.name = "full_gate_norm",
             .format = {WeightKind::kFullPrecision, ScaleKind::kTensor, 0},
             .gate = true,
             .norm = true},
        Case{.name = "lambda_third", .format = {}, .lambda = 0.3, .norm = true},
        Case{.name = "lambda_none", .format = {}, .lambda = 0, .norm = true}),
    [](const auto& test) { return test.param.name; });

// float(integer) * scale in both: the integers are the same, so the bits are.
TEST(LinearGroup, SumsAreTheSameIntegers) {
  Bench bench({.name = "", .format = {}, .norm = true});
  const auto a = bench.together(), b = bench.apart();
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(torch::equal(a[i], b[i])) << i;
}

TEST(LinearGroup, SeesThatWeightsAndLambdaHaveChanged) {
  Bench bench({.name = "", .format = {}});
  LinearGroup group(bench.layers, GroupOutput::kFloat32);
  const auto agree = [&] {
    const auto a = group(bench.input()), b = bench.apart();
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (difference(a[i], b[i]) > 2e-6) return false;
    }
    return true;
  };
  EXPECT_TRUE(agree());
  {
    const torch::NoGradGuard no_grad;
    bench.layers[1]->weight.neg_();
  }
  EXPECT_TRUE(agree());
  for (BitLinear& layer : bench.layers) layer->options.lambda(0.5);
  EXPECT_TRUE(agree());
  for (BitLinear& layer : bench.layers) layer->options.lambda(1);
  EXPECT_TRUE(agree());
}

TEST(LinearGroup, AnEarlierGraphKeepsItsWeights) {
  Bench bench({.name = "", .format = {}});
  LinearGroup group(bench.layers, GroupOutput::kFloat32);
  const auto before = group(bench.input());
  const auto expected = bench.gradients(bench.apart());
  {
    const torch::NoGradGuard no_grad;
    for (BitLinear& layer : bench.layers) layer->weight.neg_();
  }
  group(bench.input());
  EXPECT_LT(difference(bench.gradients(before)[0], expected[0]), 1e-5);
}

TEST(LinearGroup, ANumberThatIsNoneIsPassedOn) {
  Bench bench({.name = "", .format = {}, .norm = true});
  {
    const torch::NoGradGuard no_grad;
    bench.x[1][3][5] = std::numeric_limits<float>::infinity();
  }
  const Tensor y = bench.together()[0];
  EXPECT_TRUE(y[1][3].isnan().all().item<bool>());
  EXPECT_TRUE(y[1][4].isfinite().all().item<bool>());
  {
    const torch::NoGradGuard no_grad;
    bench.layers[0]->weight[0][0] = std::numeric_limits<float>::quiet_NaN();
  }
  EXPECT_FALSE(bench.together()[0][0].isfinite().all().item<bool>());
}

}  // namespace
}  // namespace tern::train
