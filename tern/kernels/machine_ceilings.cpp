// Times loops that do nothing but read, multiply or meet.
#include "tern/kernels/machine_ceilings.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "tern/base/system.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

constexpr std::size_t kStretch = 4 * 256;  // Four streams of read_xor's unit.
constexpr double kStepSeconds = 0.005;     // One timing of the arithmetic.
constexpr int kPasses = 4;                 // Of the arithmetic.
constexpr std::uint64_t kMeetings = 32;    // One timing of the barriers,
constexpr double kMeetingsSeconds = 0.01;  // timed again and again for this long.
constexpr int kSpins = 1000;               // Before a waiting thread makes way.

// Each of these was the fastest on some machine at some moment.
struct ReadLoop {
  std::size_t streams, ahead;  // See KernelTable::read_xor.
};
constexpr std::array kReadLoops{ReadLoop{1, 0},    ReadLoop{2, 0},    ReadLoop{4, 0},
                                ReadLoop{2, 1024}, ReadLoop{4, 1024}, ReadLoop{1, 8192},
                                ReadLoop{2, 8192}};

double timed(const auto& work) {
  const double begin = monotonic_seconds();
  work();
  return std::max(monotonic_seconds() - begin, 1e-9);
}

double shortest(const auto& work) {
  double best = timed(work);
  for (int pass = 1; pass < kPasses; ++pass) best = std::min(best, timed(work));
  return best;
}

// The shortest of timings that take `kMeetingsSeconds` together: on a busy machine, where a thread
// may wait milliseconds for its CPU, there are few.
double shortest_meeting(const auto& work) {
  const double end = monotonic_seconds() + kMeetingsSeconds;
  double best = 1e300;
  do {
    best = std::min(best, work() / static_cast<double>(kMeetings));
  } while (monotonic_seconds() < end);
  return best;
}

struct alignas(128) Arrival {
  std::atomic<std::uint64_t> round{0};
};

// Each thread says that it is there and waits until all are.
void meet(std::vector<Arrival>& arrivals, std::size_t worker, std::uint64_t round) {
  arrivals[worker].round.store(round, std::memory_order_release);
  for (const Arrival& other : arrivals) {
    for (int spins = 0; other.round.load(std::memory_order_acquire) < round; ++spins) {
      if (spins < kSpins) {
        pause_cpu();
      } else {
        std::this_thread::yield();
      }
    }
  }
}

}  // namespace

Ceilings mean(const Ceilings& a, const Ceilings& b) noexcept {
  return {(a.read + b.read) / 2, (a.int8_macs + b.int8_macs) / 2, (a.barrier + b.barrier) / 2,
          (a.pool_run + b.pool_run) / 2};
}

CeilingProbe::CeilingProbe(const KernelTable& table, ThreadPool& pool, std::size_t bytes)
    : table_(table),
      pool_(pool),
      each_(std::max(kStretch, bytes / pool.size() / kStretch * kStretch)),
      buffer_(each_ * pool.size()) {
  std::memset(buffer_.data(), 1, buffer_.size());  // Real pages, not the one page of zeros.
}

Ceilings CeilingProbe::measure() {
  Ceilings found{read_bandwidth(), int8_macs(), 0, 0};
  if (pool_.size() > 1) {
    found.barrier = barrier();
    found.pool_run = pool_run();
  }
  return found;
}

double CeilingProbe::read_bandwidth() {
  const auto* data = buffer_.as<std::uint8_t>().data();
  std::atomic<std::uint64_t> sink{0};
  double best = 1e300;
  for (const auto [streams, ahead] : kReadLoops) {
    const auto step = [&](std::size_t worker) {
      sink ^= table_.read_xor(data + worker * each_, each_ / streams, streams, ahead);
    };
    best = std::min(best, timed([&] { pool_.run(step); }));
  }
  return static_cast<double>(buffer_.size()) / best;
}

double CeilingProbe::int8_macs() {
  std::atomic<std::int32_t> sink{0};
  const auto step = [&](std::size_t) { sink ^= table_.int8_steps(steps_); };
  const auto run = [&] { pool_.run(step); };
  double seconds = shortest(run);
  while (seconds < kStepSeconds) {
    steps_ = seconds < kStepSeconds / 10 ? steps_ * 10 : steps_ * 2;
    seconds = shortest(run);
  }
  return static_cast<double>(steps_) * static_cast<double>(table_.int8_macs_per_step) *
         static_cast<double>(pool_.size()) / seconds;
}

double CeilingProbe::barrier() {
  std::vector<Arrival> arrivals(pool_.size());
  std::uint64_t round = 0;
  return shortest_meeting([&] {
    double seconds = 0;  // Of worker 0, once all have come.
    pool_.run([&](std::size_t worker) {
      meet(arrivals, worker, round + 1);
      const double spent = timed([&] {
        for (std::uint64_t i = 2; i <= kMeetings + 1; ++i) meet(arrivals, worker, round + i);
      });
      if (worker == 0) seconds = spent;
    });
    round += kMeetings + 1;
    return seconds;
  });
}

double CeilingProbe::pool_run() {
  return shortest_meeting([&] {
    return timed([&] {
      for (std::uint64_t i = 0; i < kMeetings; ++i) pool_.run([](std::size_t) {});
    });
  });
}

}  // namespace tern::kernels
