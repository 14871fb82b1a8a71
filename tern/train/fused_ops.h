// What a layer does besides products, one pass over memory each: libtorch's operators would take
// four to nine, and memory is what a CPU waits for. All are differentiable, float32 in and out
// unless they say otherwise.
#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace tern::train {

// x / sqrt(mean(x^2) + eps) * weight over the last dimension.
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps);

// max(gate, 0)^2 * up, element by element.
torch::Tensor squared_relu_gate(const torch::Tensor& gate, const torch::Tensor& up);

// cos and sin of the angle of every position and pair of columns: (sequence, head_dim / 2).
struct RopeTables {
  torch::Tensor cos, sin;
};

// Heads side by side, (batch, sequence, heads * head_dim), apart and turned by their positions:
// (batch, heads, sequence, head_dim), float32 or bfloat16 as they came. Column i makes a pair with
// column i + head_dim / 2 (rotate-half, as Hugging Face's Llama).
torch::Tensor rotated_heads(const torch::Tensor& x, std::int64_t heads, const RopeTables& rope);

// The softmax of scale * scores over the keys that each query may see, 0 for the others. scores:
// (batch, heads, sequence, sequence), float32 or bfloat16; the result has its type. Query t sees
// keys first_key[batch][t] ... t; first_key (batch, sequence) int64, undefined: 0.
torch::Tensor causal_softmax(const torch::Tensor& scores, double scale,
                             const torch::Tensor& first_key);

}  // namespace tern::train
