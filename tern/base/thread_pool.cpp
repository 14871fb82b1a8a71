// Workers spin on the published epoch, then make way, then sleep on a condition.
#include "tern/base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <utility>

#include "tern/base/error.h"

namespace tern {
namespace {

constexpr int kSpins = 4000;  // Pauses, about 100 microseconds.
constexpr int kCrowdedSpins = 20;
constexpr int kYields = 20;  // Of a worker, between spinning and sleeping.

}  // namespace

ThreadPool::ThreadPool(std::size_t threads)
    : done_(threads > 0 ? threads - 1 : 0),
      spins_(threads > default_threads() ? kCrowdedSpins : kSpins) {
  if (threads == 0) {
    throw Error(ErrorCode::kBadArgument, "thread count 0 found where at least 1 was expected");
  }
  threads_.reserve(threads - 1);
  try {
    for (std::size_t worker = 1; worker < threads; ++worker) {
      threads_.emplace_back([this, worker] { work(worker); });
    }
  } catch (const std::system_error& e) {
    const std::size_t started = size();
    stop();
    throw Error(ErrorCode::kLimit, "thread " + std::to_string(started + 1) + " of " +
                                       std::to_string(threads) + " could not be started (" +
                                       e.code().message() + "), expected fewer threads");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() noexcept {
  publish(std::nullopt);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void ThreadPool::publish(std::optional<FunctionRef<void(std::size_t)>> step) noexcept {
  published_.step = step;
  // Sequentially consistent, as the two in work(): a worker counts itself asleep before it looks at
  // the epoch a last time, so either it sees the new epoch or it is seen here.
  published_.epoch.store(published_.epoch.load(std::memory_order_relaxed) + 1);
  if (asleep_.load() == 0) return;
  {
    const std::lock_guard lock(mutex_);
  }
  wake_.notify_all();
}

void ThreadPool::call(const FunctionRef<void(std::size_t)>& step, std::size_t worker) noexcept {
  try {
    step(worker);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::run(FunctionRef<void(std::size_t)> step) {
  if (threads_.empty()) return step(0);
  publish(step);
  const std::uint64_t epoch = published_.epoch.load(std::memory_order_relaxed);
  call(step, 0);
  int spins = 0;
  for (const Done& done : done_) {
    while (done.epoch.load(std::memory_order_acquire) != epoch) {
      if (spins++ < spins_) {
        pause_cpu();
      } else {
        std::this_thread::yield();
      }
    }
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::work(std::size_t worker) {
  std::uint64_t seen = 0;
  const auto waits = [&] { return published_.epoch.load(std::memory_order_acquire) == seen; };
  for (;;) {
    for (int spins = 0; waits() && spins < spins_; ++spins) pause_cpu();
    for (int yields = 0; waits() && yields < kYields; ++yields) std::this_thread::yield();
    if (waits()) {
      std::unique_lock lock(mutex_);
      asleep_.fetch_add(1);
      wake_.wait(lock, [&] { return published_.epoch.load() != seen; });
      asleep_.fetch_sub(1);
    }
    ++seen;
    if (!published_.step) return;
    call(*published_.step, worker);
    done_[worker - 1].epoch.store(seen, std::memory_order_release);
  }
}

void ThreadPool::parallel_for(std::size_t count, std::size_t grain,
                              FunctionRef<void(std::size_t, std::size_t)> body) {
  const std::size_t units = (count + grain - 1) / grain;
  const std::size_t workers = size();
  if (units <= 1 || workers == 1) {
    if (count > 0) body(0, count);
    return;
  }
  run([&](std::size_t worker) {
    const std::size_t begin = std::min(count, units * worker / workers * grain);
    const std::size_t end = std::min(count, units * (worker + 1) / workers * grain);
    if (begin < end) body(begin, end);
  });
}

std::size_t default_threads() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
    return static_cast<std::size_t>(CPU_COUNT(&set));
  }
  return std::max<std::size_t>(1, std::thread::hardware_concurrency());
}

}  // namespace tern
