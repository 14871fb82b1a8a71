// Where the time of forward passes goes: per group of operations, with what it had to read and do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tern/base/system.h"

namespace tern::model {

// Groups of operations, in the order of a pass. A kernel that fuses two groups is charged to the
// one whose name stands for its product (a norm fused with the quantisation after it: kQuantize).
enum class Op : std::size_t {
  kEmbed,
  kNorm,  // All norms of layers, sub-norms and head norms among them.
  kQuantize,
  kQkv,
  kRopeStore,  // RoPE, and keys and values into the cache.
  kAttention,
  kO,
  kResidual,
  kGateUp,
  kActivation,
  kDown,
  kOutputNorm,
  kHead,
};
inline constexpr std::array<std::string_view, 13> kOpNames{
    "embed",    "norm",    "quantize",   "qkv",  "rope_store",  "attention", "o",
    "residual", "gate_up", "activation", "down", "output_norm", "head"};

constexpr std::string_view op_name(Op op) noexcept {
  return kOpNames[static_cast<std::size_t>(op)];
}

struct OpCost {
  double seconds = 0;
  std::uint64_t bytes = 0;  // Weights and KV cache that a pass reads: not its activations.
  std::uint64_t macs = 0;   // Multiply-adds of weights and of attention.
};

// Filled by Forward::run() and Head where it is given. The clock runs on from mark to mark, so that
// nothing between start() and the last mark is missing from the sum.
class Profile {
 public:
  void start() noexcept { last_ = monotonic_seconds(); }

  // Charges the time since the last mark, or start(), to `op`.
  void mark(Op op, std::uint64_t bytes, std::uint64_t macs) noexcept {
    const double now = monotonic_seconds();
    OpCost& cost = costs_[static_cast<std::size_t>(op)];
    cost.seconds += now - last_;
    cost.bytes += bytes;
    cost.macs += macs;
    last_ = now;
  }

  const OpCost& cost(Op op) const noexcept { return costs_[static_cast<std::size_t>(op)]; }

 private:
  std::array<OpCost, kOpNames.size()> costs_{};
  double last_ = 0;
};

}  // namespace tern::model
