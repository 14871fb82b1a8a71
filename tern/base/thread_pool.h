// A fixed team of threads that runs one parallel step at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

namespace tern {

// Tells the CPU that this thread spins.
inline void pause_cpu() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A borrowed callable: no allocation, valid only while the callable lives.
template <typename Signature>
class FunctionRef;

template <typename... Args>
class FunctionRef<void(Args...)> {
 public:
  template <typename F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
  FunctionRef(F&& f)  // NOLINT(google-explicit-constructor): a lambda is what callers pass.
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) {
          (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  void operator()(Args... args) const { call_(object_, args...); }

 private:
  void* object_;
  void (*call_)(void*, Args...);
};

// `threads` workers, the calling thread being worker 0. Steps are short and frequent (one matrix
// product), so waiting threads spin for about 100 microseconds before they sleep; where there are
// more threads than CPUs they make way at once. Between two cores that spin, run() costs about two
// transfers of a cache line: the caller writes one that all read, each worker one that the caller
// reads. One caller at a time; a step must not start another on the same pool.
class ThreadPool {
 public:
  explicit ThreadPool(std::size_t threads);  // At least 1. Throws Error(kBadArgument) on 0 and
                                             // Error(kLimit) where the system gives no more.
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t size() const noexcept { return threads_.size() + 1; }

  // Calls step(worker) once for each worker 0..size()-1 and returns when all are done. Rethrows
  // the first exception that a worker threw.
  void run(FunctionRef<void(std::size_t worker)> step);

  // Cuts [0, count) into one contiguous range per worker, at multiples of `grain`, and calls
  // body(begin, end) for each range that is not empty.
  void parallel_for(std::size_t count, std::size_t grain,
                    FunctionRef<void(std::size_t begin, std::size_t end)> body);

 private:
  // Two lines of 64 bytes: some CPUs fetch them in pairs.
  static constexpr std::size_t kLine = 128;
  // What the caller publishes: a step is there when `epoch` has grown. With the step itself beside
  // it, a worker needs one transfer to know all. A step without a value ends the thread.
  struct alignas(kLine) Published {
    std::atomic<std::uint64_t> epoch{0};
    std::optional<FunctionRef<void(std::size_t)>> step;
  };
  struct alignas(kLine) Done {
    std::atomic<std::uint64_t> epoch{0};  // Of the last step that this worker has finished.
  };

  void work(std::size_t worker);
  void stop() noexcept;  // Ends and joins the threads.
  void publish(std::optional<FunctionRef<void(std::size_t)>> step) noexcept;
  void call(const FunctionRef<void(std::size_t)>& step, std::size_t worker) noexcept;

  Published published_;
  std::vector<Done> done_;                             // Of workers 1, 2, ...
  alignas(kLine) std::atomic<std::size_t> asleep_{0};  // Written only on the way to sleep and back.
  int spins_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::exception_ptr error_;
};

// Threads that a command uses when none are asked for: the CPUs that this process may run on.
std::size_t default_threads() noexcept;

}  // namespace tern
