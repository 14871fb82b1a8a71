// What one forward pass sees, and where it comes from.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>

namespace tern::train {

struct Batch {
  torch::Tensor tokens, targets;  // (windows, sequence) int64.
  torch::Tensor weights;          // (windows, sequence) float32: 1 where a target counts, else 0;
                                  // undefined: all count.
  torch::Tensor segments;  // (windows, sequence) int64: attention stays within equal numbers;
                           // undefined: each window is one.

  // Targets that count.
  double targets_counted() const {
    return weights.defined() ? weights.sum(torch::kFloat64).item<double>()
                             : static_cast<double>(targets.numel());
  }
};

// Text cut into windows of one length. Const after construction, shared by threads.
class Batches {
 public:
  virtual ~Batches() = default;

  virtual std::uint64_t windows() const noexcept = 0;
  virtual std::uint64_t window_tokens() const noexcept = 0;  // Of one: the sequence.
  virtual Batch read(std::span<const std::uint64_t> windows) const = 0;

  // Of the whole text: all its targets, and the bytes of UTF-8 that they stand for, which bits per
  // byte divide by.
  virtual std::uint64_t targets() const noexcept = 0;
  virtual std::uint64_t target_bytes() const noexcept = 0;
  // Of all ids in order: a run that goes on must go on with the same ones.
  virtual std::uint64_t content_hash() const noexcept = 0;
};

}  // namespace tern::train
