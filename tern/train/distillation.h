// What a student can learn from a teacher besides the text (BitNet Distillation, arXiv 2510.13998).
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "tern/train/transformer.h"

namespace tern::train {

// The sum over rows of weight * KL(softmax(teacher / T) || softmax(student / T)), in nats.
// student, teacher: (rows, vocab) float32; weights: (rows), or undefined: all 1. Differentiable in
// the student; T as it is, without the factor T^2 of other recipes.
torch::Tensor logit_divergence(const torch::Tensor& student, const torch::Tensor& teacher,
                               double temperature, const torch::Tensor& weights);

// How alike two layers relate tokens to each other (MiniLMv2's relations, arXiv 2012.15828, with
// the normalised states of BitNet Distillation): each of q, k and v is laid side by side over its
// heads, split into `relation_heads` vectors per token, each brought to length 1; R is the softmax,
// over all tokens of the window, of their products. Returns the sum over q, k and v of the mean,
// over windows, of a window's mean over relation heads and tokens of KL(R of the teacher || R of
// the student).
//
// Heads and widths of the two may differ. Where `segments` (windows, sequence) is defined, tokens
// are related to those of their own segment alone, and those of negative segments (padding) do not
// count; a window of padding alone adds 0. Throws Error(kBadArgument) where a width is no multiple
// of relation_heads.
torch::Tensor relation_divergence(const AttentionStates& student, const AttentionStates& teacher,
                                  std::int64_t relation_heads, const torch::Tensor& segments);

}  // namespace tern::train
