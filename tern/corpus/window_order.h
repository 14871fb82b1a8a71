// In which order a run sees its windows of text: deterministic, and a single number says where it
// stands.
//
// Epoch e visits windows 0 ... W-1 in the order of a Fisher-Yates shuffle (for i = W-1 down to 1,
// swap i with next() % (i + 1)) where next() is SplitMix64 started at the state
// seed + e * 0x9E3779B97F4A7C15. Another program that follows these lines draws the same batches
// (tests/reference/train_reference.py does).
#pragma once

#include <cstdint>
#include <vector>

namespace tern::corpus {

class WindowOrder {
 public:
  // Throws Error(kBadArgument) for no window, Error(kLimit) for 2^32 or more.
  WindowOrder(std::uint64_t windows, std::uint64_t seed);

  std::uint64_t windows() const noexcept { return windows_; }  // Per epoch.
  // The window that stands at `position` of the endless order (epoch position / windows()). Keeps
  // one epoch's order: positions in rising order cost nothing.
  std::uint64_t window(std::uint64_t position);

 private:
  void shuffle(std::uint64_t epoch);

  std::uint64_t windows_, seed_;
  std::uint64_t epoch_ = ~std::uint64_t{0};
  std::vector<std::uint32_t> order_;
};

}  // namespace tern::corpus
