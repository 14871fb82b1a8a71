// What travels instead of latent weights: bytes by hand, and the same digits and scales behind
// them.
#include "tern/train/weight_shards.h"

#include <gtest/gtest.h>

namespace tern::train {
namespace {

using torch::Tensor;

Tensor digits_of(const std::vector<int>& values) {
  return torch::tensor(values, torch::kInt32).to(torch::kInt8);
}

TEST(PackedDigits, AreTwoBitsEach) {
  // -1, 0, 1, 1 are 0, 1, 2, 2: 0 + 4 * 1 + 16 * 2 + 64 * 2; then 1 alone.
  const Tensor packed = pack_digits(digits_of({-1, 0, 1, 1, 0}));
  EXPECT_TRUE(packed.equal(torch::tensor({164, 1}, torch::kInt32).to(torch::kUInt8)));
}

TEST(PackedDigits, ComeBack) {
  torch::manual_seed(3);
  for (const std::int64_t count : {1, 2, 3, 4, 5, 64, 1001}) {
    const Tensor digits = torch::randint(-1, 2, {count}).to(torch::kInt8);
    const Tensor packed = pack_digits(digits);
    EXPECT_EQ(packed.numel(), (count + 3) / 4);
    EXPECT_TRUE(unpack_digits(packed, count).equal(digits)) << count;
  }
}

TEST(StandIn, IsQuantisedToTheSameDigitsAndScales) {
  torch::manual_seed(4);
  for (const WeightKind kind : {WeightKind::kTernary, WeightKind::kBinary}) {
    for (const WeightFormat& format :
         {WeightFormat{kind, ScaleKind::kTensor, 0}, WeightFormat{kind, ScaleKind::kRow, 0},
          WeightFormat{kind, ScaleKind::kGroup, 64}}) {
      const Tensor weight = 0.03 * torch::randn({48, 192}) + 0.002;
      const Tensor latents = latents_of(stand_in(weight, format), format);
      EXPECT_EQ(latents.sizes(), weight.sizes());
      EXPECT_TRUE(quantized_weights(latents, format)
                      .digits.equal(quantized_weights(weight, format).digits));
      const auto value = [&](const Tensor& w) {
        const Scaled s = quantize_weights(w, format, 1, torch::kFloat32);
        if (!s.scales.defined()) return s.values;
        return s.values * (s.scales.dim() == 0 ? s.scales : s.scales.unsqueeze(1));
      };
      const double far = (value(latents) - value(weight)).norm().item<double>();
      EXPECT_LT(far, 1e-6 * value(weight).norm().item<double>());
    }
  }
}

// Where nothing is left of a matrix, nothing is divided by 0.
TEST(StandIn, OfZeros) {
  const WeightFormat format;
  const Tensor zeros = torch::zeros({4, 64});
  EXPECT_TRUE(latents_of(stand_in(zeros, format), format).equal(zeros));
}

}  // namespace
}  // namespace tern::train
