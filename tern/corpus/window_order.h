// In which order a run sees its text: deterministic, and a single number says where it stands.
//
// The stream of N tokens is cut into windows of `sequence` + 1 tokens that overlap by one:
// window w is tokens [w * sequence, w * sequence + sequence], so that every token but the first is
// a target once; W = (N - 1) / sequence windows, the rest is left out. Epoch e visits them in the
// order of a Fisher-Yates shuffle of 0 ... W-1 (for i = W-1 down to 1, swap i with
// next() % (i + 1)) where next() is SplitMix64 started at the state seed + e * 0x9E3779B97F4A7C15.
// Another program that follows these lines draws the same batches
// (tests/reference/train_reference.py does).
#pragma once

#include <cstdint>
#include <vector>

namespace tern::corpus {

class WindowOrder {
 public:
  // Throws Error(kBadArgument) where `tokens` make no window.
  WindowOrder(std::uint64_t tokens, std::uint64_t sequence, std::uint64_t seed);

  std::uint64_t windows() const noexcept { return windows_; }  // Per epoch.
  // The first token of the window that stands at `position` of the endless order (epoch
  // position / windows()). Keeps one epoch's order: positions in rising order cost nothing.
  std::uint64_t first_token(std::uint64_t position);

 private:
  void shuffle(std::uint64_t epoch);

  std::uint64_t windows_, sequence_, seed_;
  std::uint64_t epoch_ = ~std::uint64_t{0};
  std::vector<std::uint32_t> order_;
};

}  // namespace tern::corpus
