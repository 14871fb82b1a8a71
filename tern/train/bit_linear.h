// BitLinear: a linear layer that multiplies int8 activations with ternary (or binary) weights in
// the forward pass, and trains full-precision latent weights in the backward pass.
//
//   BitNet b1.58, arXiv 2402.17764, and its training FAQ; b1: arXiv 2310.11453.
//
//   x_q = x + (int8(x) - x).detach()      per row: scale max|x| / 127
//   w_q = w + (ternary(w) - w).detach()   scale mean|W|
//   y   = x_q w_q^T (+ bias)
//
// Rounding and clamping pass gradients straight through (no mask at the clip): dx = dy w_q,
// dw = dy^T x_q. Works wherever torch::nn::Linear does:
//
//   BitLinear layer(BitLinearOptions(64, 128).bias(false));
//   torch::Tensor y = layer(x);           // x: (..., 64) float32, y: (..., 128) float32
#pragma once

#include <torch/torch.h>

#include <functional>
#include <string>
#include <vector>

#include "tern/train/fused_ops.h"
#include "tern/train/quantize_ops.h"

namespace tern::train {

struct BitLinearOptions {
  BitLinearOptions(std::int64_t in_features, std::int64_t out_features)
      : in_features_(in_features), out_features_(out_features) {}
  TORCH_ARG(std::int64_t, in_features);
  TORCH_ARG(std::int64_t, out_features);
  TORCH_ARG(bool, bias) = false;
  TORCH_ARG(WeightFormat, format);
  // RMSNorm with a weight of its own before the activations are quantised, as in the paper's
  // recipe; models with norms in front of the layer leave it out.
  TORCH_ARG(bool, norm) = false;
  TORCH_ARG(double, norm_eps) = 1e-5;
  // How much of the quantisation is applied, for a gradual change from a full-precision layer:
  // x + lambda * (q(x) - x). 0: a plain linear layer; 1: BitLinear.
  TORCH_ARG(double, lambda) = 1.0;
  // Type of the products: kFloat32, or kBFloat16 (accumulated in float32, result rounded).
  TORCH_ARG(torch::Dtype, product_type) = torch::kFloat32;
  // Of a low-rank adapter beside the layer (lora.h); 0: none.
  TORCH_ARG(std::int64_t, adapter_rank) = 0;
  TORCH_ARG(double, adapter_scale) = 1;
};

// One matrix of an adapter, a module for its name's sake: "q_proj.lora_A.weight". Zeros at first.
class AdapterHalfImpl : public torch::nn::Cloneable<AdapterHalfImpl> {
 public:
  AdapterHalfImpl(std::int64_t rows, std::int64_t cols) : rows_(rows), cols_(cols) { reset(); }
  void reset() override { weight = register_parameter("weight", torch::zeros({rows_, cols_})); }
  torch::Tensor weight;  // (rows, cols) float32.

 private:
  std::int64_t rows_, cols_;
};
TORCH_MODULE(AdapterHalf);

class BitLinearImpl : public torch::nn::Cloneable<BitLinearImpl> {
 public:
  BitLinearImpl(std::int64_t in_features, std::int64_t out_features)
      : BitLinearImpl(BitLinearOptions(in_features, out_features)) {}
  explicit BitLinearImpl(const BitLinearOptions& options);

  void reset() override;
  void reset_parameters();  // As torch::nn::Linear: uniform, Kaiming with a = sqrt(5).
  void pretty_print(std::ostream& stream) const override;

  torch::Tensor forward(const torch::Tensor& input);

  // Puts a low-rank adapter beside the layer: from now on forward() adds scale * (x A^T) B^T, of
  // the input as it comes, before norm and quantisation (arXiv 2106.09685, as PEFT has it). A is
  // drawn as reset_parameters() draws weights, B is 0.
  void add_adapter(std::int64_t rank, double scale);
  // y plus what the adapter makes of `input`; y itself where there is none.
  torch::Tensor with_adapter(const torch::Tensor& y, const torch::Tensor& input) const;

  BitLinearOptions options;
  torch::Tensor weight;                          // (out, in) float32, the latent weights.
  torch::Tensor bias;                            // (out), or undefined.
  torch::Tensor norm_weight;                     // (in), or undefined.
  AdapterHalf lora_a{nullptr}, lora_b{nullptr};  // (rank, in) and (out, rank), or empty.

 private:
  void register_adapter();
};
TORCH_MODULE(BitLinear);

// y = x w^T with both quantised as `format` and `lambda` say; differentiable, gradients straight
// through. x: (..., in), w: (out, in), float32; y: (..., out) float32. kFullPrecision is the plain
// product in `product_type`, so that a baseline differs by nothing else.
torch::Tensor quantized_linear(const torch::Tensor& x, const torch::Tensor& w,
                               const WeightFormat& format, double lambda,
                               torch::Dtype product_type);

// Which Linear layers to change, by their name within the model ("0", "encoder.3").
using LayerFilter = std::function<bool(const std::string& name, const torch::nn::LinearImpl&)>;

// Turns the Linear layers of `module` that `filter` takes into BitLinear layers with the same
// latent weights and bias, and returns their names in order. `options` gives everything but sizes
// and bias. C++ can change a layer in place only where its holder is generic: in Sequential and
// ModuleList, at any depth. A Linear that is a typed member of a class would go on running
// unchanged, so where the filter takes one, nothing is changed and Error(kUnsupported) names it:
// declare that member as BitLinear (kFullPrecision is a plain Linear).
std::vector<std::string> replace_linears(torch::nn::Module& module, const LayerFilter& filter,
                                         const BitLinearOptions& options = {0, 0});

}  // namespace tern::train
