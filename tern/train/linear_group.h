// Linear layers that share an input, as one step of autograd on tern's own kernels: the input is
// gated, normed and quantised once, a row at a time, and multiplied with all weights together.
//
//   z = norm(gate(x, up))              either may be missing
//   y_i = layer_i(z)                   as bit_linear.h defines it, gradients straight through
//
// Forward, where the layers are quantised whole (lambda = 1): int8 levels times digits on
// kernels/ternary.h, exact integers, whose sums are those of the plain path. Forward otherwise, and
// backward always: products in `product_type` through libtorch (oneDNN for bfloat16), where one
// product gives the gradient of z for all layers together, and one that of all weights. Kept for
// the backward pass: x (and up), which the model has anyway, and z as int8 levels, or in
// `product_type`.
//
// Weights are quantised when they have changed, which is once per optimiser step. In bfloat16, y of
// a group with `Output::kProductType` is rounded to it, as a plain product's is.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <vector>

#include "tern/arch/model_config.h"
#include "tern/train/bit_linear.h"

namespace tern::train {

// What comes before the products. Rows of `x` and `up`: (..., width), float32 or bfloat16.
struct GroupInput {
  torch::Tensor x;
  torch::Tensor up{};  // Undefined: no gate.
  arch::GateActivation activation =
      arch::GateActivation::kReluSquared;  // act(x) * up, where `up` is.
  torch::Tensor norm_weight{};             // Undefined: no norm.
  double norm_eps = 1e-5;
};

enum class GroupOutput { kFloat32, kProductType };

struct GroupWeights;  // What the products multiply, made of the layers' weights.

class LinearGroup {
 public:
  LinearGroup() = default;  // To be assigned to.
  // Layers of one width, format, lambda and product type.
  LinearGroup(std::vector<BitLinear> layers, GroupOutput output);
  ~LinearGroup();
  LinearGroup(LinearGroup&&) noexcept;
  LinearGroup& operator=(LinearGroup&&) noexcept;

  // y of each layer, (..., out). One call at a time.
  std::vector<torch::Tensor> operator()(const GroupInput& input);

 private:
  void prepare();

  std::vector<BitLinear> layers_;
  GroupOutput output_ = GroupOutput::kFloat32;
  std::shared_ptr<const GroupWeights> weights_;  // Shared with graphs that are still needed.
};

}  // namespace tern::train
