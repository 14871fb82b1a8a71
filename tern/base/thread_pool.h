// A fixed team of threads that runs one parallel step at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace tern {

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
// product), so waiting threads spin a little before they sleep. One caller at a time; a step must
// not start another on the same pool.
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
  void work(std::size_t worker);
  void stop() noexcept;  // Ends and joins the threads.
  void call(std::size_t worker) noexcept;

  std::vector<std::thread> threads_;
  const FunctionRef<void(std::size_t)>* step_ = nullptr;
  std::atomic<std::size_t> generation_{0};
  std::atomic<std::size_t> pending_{0};
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> asleep_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::exception_ptr error_;
};

// Threads that a command uses when none are asked for: the CPUs that this process may run on.
std::size_t default_threads() noexcept;

}  // namespace tern
