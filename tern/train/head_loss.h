// The head's product and the cross-entropy behind it, without ever holding all logits: of a
// vocabulary of 128,256 they would take 1 GB for 2,048 tokens.
#pragma once

#include <torch/torch.h>

namespace tern::train {

// The sum over rows of -log softmax(hidden head^T)[target], in nats. hidden: (rows, width) float32;
// head: (vocab, width) float32 or `product_type`; targets: (rows) int64. Products in
// `product_type`, sums in float32. Differentiable in hidden and head; gradients are made with the
// loss, some rows at a time, where they are wanted.
torch::Tensor head_loss(const torch::Tensor& hidden, const torch::Tensor& head,
                        const torch::Tensor& targets, torch::Dtype product_type);

}  // namespace tern::train
