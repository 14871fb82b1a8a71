// The trainable twin of tern's inference models: llama, bitnet and bitnet-b1.58, with the tensor
// names of their Hugging Face folders.
//
//   h = embed(tokens)                                               (batch, sequence, hidden)
//   per layer: h += o([sub_norm](attention(rope(q(n)), rope(k(n)), v(n)))), n = rms_norm(h)
//              h += down([sub_norm](act(gate(n)) * up(n))), n = rms_norm(h)
//   logits = head(rms_norm(h))                                      (batch, sequence, vocab)
//
// q, k, v, o, gate, up and down are BitLinear layers of one WeightFormat; embedding, head, norms
// and attention are full precision. With WeightKind::kFullPrecision the same code is the baseline.
#pragma once

#include <torch/torch.h>

#include <string>
#include <utility>
#include <vector>

#include "tern/arch/model_config.h"
#include "tern/train/bit_linear.h"

namespace tern::train {

struct TransformerOptions {
  arch::ModelConfig config;
  WeightFormat format;
  torch::Dtype product_type =
      torch::kFloat32;  // Of every matrix product, attention's and head's too.
  double lambda = 1;
};

class RmsNormImpl : public torch::nn::Module {
 public:
  RmsNormImpl(std::int64_t width, double eps);
  torch::Tensor forward(const torch::Tensor& x) { return rms_norm(x, weight, eps_); }
  torch::Tensor weight;

 private:
  double eps_;
};
TORCH_MODULE(RmsNorm);

// The angles of positions 0 ... sequence - 1: position * rope_theta^(-2 i / head_dim).
RopeTables rope_tables(const arch::ModelConfig& config, std::int64_t sequence);

// Softmax of scores of keys up to one's own position. q: (batch * heads, sequence, head_dim), k and
// v the same; returns the same shape. float32 in and out, products in `type`.
torch::Tensor causal_attention(const torch::Tensor& q, const torch::Tensor& k,
                               const torch::Tensor& v, torch::Dtype type);

class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const TransformerOptions& options);
  torch::Tensor forward(const torch::Tensor& x, const RopeTables& rope);
  void set_product_type(torch::Dtype type) { options_.product_type = type; }

 private:
  TransformerOptions options_;
  BitLinear q_proj_{nullptr}, k_proj_{nullptr}, v_proj_{nullptr}, o_proj_{nullptr};
  RmsNorm sub_norm_{nullptr};
};
TORCH_MODULE(Attention);

class FeedForwardImpl : public torch::nn::Module {
 public:
  explicit FeedForwardImpl(const TransformerOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  TransformerOptions options_;
  BitLinear gate_proj_{nullptr}, up_proj_{nullptr}, down_proj_{nullptr};
  RmsNorm sub_norm_{nullptr};
};
TORCH_MODULE(FeedForward);

class LayerImpl : public torch::nn::Module {
 public:
  explicit LayerImpl(const TransformerOptions& options);
  torch::Tensor forward(const torch::Tensor& h, const RopeTables& rope);

 private:
  RmsNorm input_layernorm_{nullptr}, post_attention_layernorm_{nullptr};
  Attention self_attn_{nullptr};
  FeedForward mlp_{nullptr};
};
TORCH_MODULE(Layer);

class TransformerImpl : public torch::nn::Module {
 public:
  // Matrices are normal with `init_std` from libtorch's generator, norms are 1. A block must begin
  // by adding little to the residual stream, or random features drown the tokens: with sub-norms,
  // their weights begin at `sub_norm_init`; without, o and down have init_std / sqrt(2 * layers).
  // (A ternary product has the scale mean|W|, so with sub-norms a small matrix would only make its
  // latent weights jump from digit to digit in every step.) Throws Error(kUnsupported)
  // for what this twin does not have (biases, QK norms, scaled RoPE).
  TransformerImpl(const TransformerOptions& options, double init_std, double sub_norm_init = 1);

  // (batch, sequence) of int64 ids -> (batch, sequence, hidden), after the final norm.
  torch::Tensor hidden_states(const torch::Tensor& tokens);
  torch::Tensor logits(const torch::Tensor& hidden);  // (..., hidden) -> (..., vocab) float32.
  torch::Tensor forward(const torch::Tensor& tokens) { return logits(hidden_states(tokens)); }

  // Mean cross-entropy in nats; tokens and targets (batch, sequence).
  torch::Tensor loss(const torch::Tensor& tokens, const torch::Tensor& targets);

  // The first layer whose output is not finite for these tokens ("model.layers.3"), or "" where all
  // are.
  std::string first_non_finite(const torch::Tensor& tokens);

  const TransformerOptions& options() const noexcept { return options_; }
  void set_lambda(double lambda);
  void set_product_type(torch::Dtype type);
  // Every BitLinear by its name ("model.layers.0.self_attn.q_proj"), in order.
  std::vector<std::pair<std::string, BitLinear>> bit_linears();

 private:
  const RopeTables& rope(std::int64_t sequence);

  TransformerOptions options_;
  torch::nn::Embedding embed_tokens_{nullptr};
  torch::nn::ModuleList layers_{nullptr};
  RmsNorm norm_{nullptr};
  torch::Tensor head_;  // The embedding's weight where the head is tied.
  RopeTables rope_;
};
TORCH_MODULE(Transformer);

}  // namespace tern::train
