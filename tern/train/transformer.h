// The trainable twin of tern's inference models: llama, qwen3, bitnet and bitnet-b1.58, with the
// tensor names of their Hugging Face folders.
//
//   h = embed(tokens)                                               (batch, sequence, hidden)
//   per layer: h += o([sub_norm](attention(rope(q(n)), rope(k(n)), v(n)))), n = rms_norm(h)
//              (qwen3: q and k are normed per head before rope)
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
#include "tern/train/config.h"
#include "tern/train/linear_group.h"

namespace tern::train {

struct TransformerOptions {
  arch::ModelConfig config;
  WeightFormat format;
  torch::Dtype product_type =
      torch::kFloat32;  // Of every matrix product, attention's and head's too.
  double lambda = 1;
  Products products = Products::kTern;
};

class RmsNormImpl : public torch::nn::Module {
 public:
  RmsNormImpl(std::int64_t width, double eps);
  torch::Tensor forward(const torch::Tensor& x) { return rms_norm(x, weight, eps_); }
  double eps() const noexcept { return eps_; }
  torch::Tensor weight;

 private:
  double eps_;
};
TORCH_MODULE(RmsNorm);

// The angles of positions 0 ... sequence - 1 (arch/rope_frequencies.h).
RopeTables rope_tables(const arch::ModelConfig& config, std::int64_t sequence);

// The first key that each token may see, (windows, sequence) int64, where attention stays within
// runs of equal numbers of `segments` (windows, sequence); undefined where that is undefined.
torch::Tensor first_keys(const torch::Tensor& segments);

// Softmax of scores of keys from `first_key` (as causal_softmax() takes it) up to one's own
// position, times values. q, k and v: (windows, heads, sequence, head_dim); returns the same shape,
// in `type`, in which the products are.
torch::Tensor causal_attention(const torch::Tensor& q, const torch::Tensor& k,
                               const torch::Tensor& v, const torch::Tensor& first_key,
                               torch::Dtype type);

// What attention multiplies, per head: q (batch, heads, sequence, head_dim), k and v (batch,
// kv_heads, sequence, head_dim), q and k after norm and RoPE.
struct AttentionStates {
  torch::Tensor q, k, v;
};

// What all layers of a forward pass share.
struct LayerContext {
  const RopeTables& rope;
  torch::Tensor first_key;
};

class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const TransformerOptions& options);
  // Of the residual stream h, through `norm`. Fills `states` where it is not null.
  torch::Tensor forward(const torch::Tensor& h, RmsNorm& norm, const LayerContext& context,
                        AttentionStates* states);
  void set_product_type(torch::Dtype type) { options_.product_type = type; }

 private:
  TransformerOptions options_;
  BitLinear q_proj_{nullptr}, k_proj_{nullptr}, v_proj_{nullptr}, o_proj_{nullptr};
  RmsNorm q_norm_{nullptr}, k_norm_{nullptr}, sub_norm_{nullptr};
  LinearGroup qkv_, o_;
};
TORCH_MODULE(Attention);

class FeedForwardImpl : public torch::nn::Module {
 public:
  explicit FeedForwardImpl(const TransformerOptions& options);
  torch::Tensor forward(const torch::Tensor& h, RmsNorm& norm);

 private:
  TransformerOptions options_;
  BitLinear gate_proj_{nullptr}, up_proj_{nullptr}, down_proj_{nullptr};
  RmsNorm sub_norm_{nullptr};
  LinearGroup gate_up_, down_;
};
TORCH_MODULE(FeedForward);

class LayerImpl : public torch::nn::Module {
 public:
  explicit LayerImpl(const TransformerOptions& options);
  torch::Tensor forward(const torch::Tensor& h, const LayerContext& context,
                        AttentionStates* states = nullptr);

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
  // for what this twin does not have (biases).
  TransformerImpl(const TransformerOptions& options, double init_std, double sub_norm_init = 1);

  // Which layer's attention states are wanted beside the hidden states, and where they go.
  struct Capture {
    std::size_t layer;
    AttentionStates states;
  };
  // (batch, sequence) of int64 ids -> (batch, sequence, hidden), after the final norm. `segments`
  // as first_keys() takes them.
  torch::Tensor hidden_states(const torch::Tensor& tokens, const torch::Tensor& segments = {},
                              Capture* capture = nullptr);
  torch::Tensor logits(const torch::Tensor& hidden);  // (..., hidden) -> (..., vocab) float32.
  // The sum of the cross-entropies, in nats, of hidden states (rows, hidden) and targets (rows).
  torch::Tensor summed_loss(const torch::Tensor& hidden, const torch::Tensor& targets);
  torch::Tensor forward(const torch::Tensor& tokens) { return logits(hidden_states(tokens)); }

  // The first layer whose output is not finite for these tokens ("model.layers.3"), or "" where all
  // are.
  std::string first_non_finite(const torch::Tensor& tokens, const torch::Tensor& segments = {});

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
