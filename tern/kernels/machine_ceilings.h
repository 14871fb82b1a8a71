// What this machine can do at most, measured: the figures that speeds are compared with.
#pragma once

#include <cstddef>

#include "tern/base/aligned_buffer.h"
#include "tern/base/thread_pool.h"
#include "tern/kernels/dispatch.h"

namespace tern::kernels {

struct Ceilings {
  double read = 0;       // Bytes per second from memory, all threads together.
  double int8_macs = 0;  // int8 multiply-adds per second in registers, all threads together.
  // Seconds of one bare spin barrier among the threads, and of one ThreadPool::run() of nothing;
  // 0 for one thread. The barrier tells where a virtual machine's cores sit: two that share a
  // cache meet faster, and have less bandwidth together, than two that do not.
  double barrier = 0;
  double pool_run = 0;
};

Ceilings mean(const Ceilings& a, const Ceilings& b) noexcept;

// Measures a pool's ceilings again and again, because they drift by tens of per cent over minutes:
// a speed is compared with what was measured right before and right after it. Table and pool
// outlive it; it runs steps on the pool.
class CeilingProbe {
 public:
  // Several times the last cache of common machines.
  static constexpr std::size_t kBytes = std::size_t{256} << 20;

  // Keeps a buffer of about `bytes`. Throws Error(kLimit) when there is no memory for it.
  CeilingProbe(const KernelTable& table, ThreadPool& pool, std::size_t bytes = kBytes);

  // Reading is the best of several loops, each thread its own part: 1, 2 and 4 streams, with
  // software prefetch and without; which one wins differs from machine to machine. Arithmetic is
  // the table's fastest dot product. Takes about a tenth of a second.
  Ceilings measure();

 private:
  double read_bandwidth();
  double int8_macs();
  double barrier();
  double pool_run();

  const KernelTable& table_;
  ThreadPool& pool_;
  std::size_t each_;  // Bytes per thread.
  AlignedBuffer buffer_;
  std::size_t steps_ = 1000;  // Of the arithmetic: grows until the clock can be trusted.
};

}  // namespace tern::kernels
