// What this machine can do at most, measured: the figures that speeds are compared with.
#pragma once

#include <cstddef>

#include "tern/base/thread_pool.h"
#include "tern/kernels/dispatch.h"

namespace tern::kernels {

// Bytes per second that the pool's threads read from a buffer of `bytes` (several times the last
// cache, to measure memory): the best of several passes, each thread its own stretch. Throws
// Error(kLimit) when there is no memory for the buffer. Takes some tenths of a second per GiB.
double measure_read_bandwidth(const KernelTable& k, ThreadPool& pool, std::size_t bytes);

// int8 multiply-adds per second of the table's fastest dot product in registers, all threads.
double measure_int8_macs(const KernelTable& k, ThreadPool& pool);

}  // namespace tern::kernels
