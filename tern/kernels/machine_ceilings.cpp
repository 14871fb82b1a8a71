// Times the two loops of a table that do nothing else.
#include "tern/kernels/machine_ceilings.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "tern/base/aligned_buffer.h"
#include "tern/base/system.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

constexpr int kPasses = 5;
constexpr std::size_t kStretch = 256;  // read_xor's unit.
constexpr double kStepSeconds = 0.05;  // One timing of the arithmetic.

// The shortest of several runs of `step`, in seconds.
template <typename Step>
double shortest(ThreadPool& pool, const Step& step) {
  double best = 1e300;
  for (int pass = 0; pass < kPasses; ++pass) {
    const double begin = monotonic_seconds();
    pool.run(step);
    best = std::min(best, monotonic_seconds() - begin);
  }
  return std::max(best, 1e-9);
}

}  // namespace

double measure_read_bandwidth(const KernelTable& k, ThreadPool& pool, std::size_t bytes) {
  const std::size_t each = std::max(kStretch, bytes / pool.size() / kStretch * kStretch);
  AlignedBuffer buffer(each * pool.size());
  std::memset(buffer.data(), 1, buffer.size());  // Real pages, not the one page of zeros.
  const auto* data = buffer.as<std::uint8_t>().data();
  std::atomic<std::uint64_t> sink{0};
  const double seconds =
      shortest(pool, [&](std::size_t worker) { sink ^= k.read_xor(data + worker * each, each); });
  return static_cast<double>(buffer.size()) / seconds;
}

double measure_int8_macs(const KernelTable& k, ThreadPool& pool) {
  std::atomic<std::int32_t> sink{0};
  std::size_t steps = 1000;
  const auto run = [&](std::size_t) { sink ^= k.int8_steps(steps); };
  double seconds = shortest(pool, run);
  while (seconds < kStepSeconds) {  // Longer until the clock can be trusted.
    steps = seconds < kStepSeconds / 10 ? steps * 10 : steps * 2;
    seconds = shortest(pool, run);
  }
  return static_cast<double>(steps) * static_cast<double>(k.int8_macs_per_step) *
         static_cast<double>(pool.size()) / seconds;
}

}  // namespace tern::kernels
