// SplitMix64 and Fisher-Yates.
#include "tern/corpus/window_order.h"

#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "tern/base/error.h"

namespace tern::corpus {
namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;

class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t state) noexcept : state_(state) {}
  std::uint64_t next() noexcept {
    state_ += kGolden;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

}  // namespace

WindowOrder::WindowOrder(std::uint64_t windows, std::uint64_t seed)
    : windows_(windows), seed_(seed) {
  if (windows == 0) {
    throw Error(ErrorCode::kBadArgument, "the text makes no sequence, expected one at least");
  }
  if (windows > std::numeric_limits<std::uint32_t>::max()) {
    throw Error(ErrorCode::kLimit, "the text makes " + std::to_string(windows) +
                                       " sequences, expected fewer than 2^32: train on longer "
                                       "sequences or less text");
  }
}

std::uint64_t WindowOrder::window(std::uint64_t position) {
  const std::uint64_t epoch = position / windows_;
  if (order_.empty() || epoch != epoch_) shuffle(epoch);
  return order_[static_cast<std::size_t>(position % windows_)];
}

void WindowOrder::shuffle(std::uint64_t epoch) {
  order_.resize(static_cast<std::size_t>(windows_));
  std::iota(order_.begin(), order_.end(), std::uint32_t{0});
  SplitMix64 random(seed_ + epoch * kGolden);
  for (std::size_t i = order_.size() - 1; i > 0; --i) {
    std::swap(order_[i], order_[static_cast<std::size_t>(random.next() % (i + 1))]);
  }
  epoch_ = epoch;
}

}  // namespace tern::corpus
