// c10d's store and its Gloo group, and two threads that watch: one says that this process lives and
// asks who else does, one sees that it is answered.
#include "tern/train/processes.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/network.h"
#include "tern/base/system.h"

namespace tern::train {
namespace {

using Seconds = std::chrono::duration<double>;
using Store = c10::intrusive_ptr<c10d::Store>;
using torch::Tensor;

// Nothing that a process does between two sums takes so long; the watch ends the run much earlier.
constexpr std::chrono::milliseconds kOperationLimit = std::chrono::hours(24);
constexpr double kLastWords = 5;       // Seconds, at most, in which all hear why the run ends.
constexpr const char* kEnd = "end";    // Why the run ends.
constexpr const char* kGone = "gone";  // How many have heard it, besides who said it.
constexpr const char* kLeft = "left";  // How many have come to the orderly end.

void pause(double seconds) { std::this_thread::sleep_for(Seconds(seconds)); }

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Seconds(seconds));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string reason_of(const std::exception& e) {
  const auto* error = dynamic_cast<const c10::Error*>(&e);
  return first_line(error != nullptr ? error->what_without_backtrace() : e.what());
}

std::vector<std::uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }
std::string text_of(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

std::string place(const World& world) {
  return fmt::format("{}:{} (MASTER_ADDR, MASTER_PORT)", world.address, world.port);
}

// Whether the store lives in this process, and ends with it.
bool hosts(const World& world) { return world.rank == 0 && !world.agent_listens; }

// Who keeps the store waits until the others know why the run ends.
void wait_until_heard(const Store& store, const World& world, double seconds) {
  const double until = monotonic_seconds() + seconds;
  while (monotonic_seconds() < until && store->add(kGone, 0) < world.size - 1) pause(0.05);
}

// Why the run ends, where another process has said so.
std::string hear_end(const Store& store, const World& world) {
  std::string why = text_of(store->get(kEnd));
  try {
    store->add(kGone, 1);
    if (hosts(world)) wait_until_heard(store, world, kLastWords);
  } catch (const std::exception&) {  // Who keeps the store may go before it has answered.
  }
  return why;
}

Store open_store(const World& world, bool listen, double seconds) {
  c10d::TCPStoreOptions options;
  options.port = world.port;
  options.isServer = listen;
  options.waitWorkers = false;
  options.timeout = milliseconds(seconds);
  try {
    return c10::make_intrusive<c10d::PrefixStore>(
        "tern/" + world.attempt, c10::make_intrusive<c10d::TCPStore>(world.address, options));
  } catch (const std::exception& e) {
    const std::string reason = reason_of(e);
    if (!listen) {
      throw Error(ErrorCode::kIo, fmt::format("rank {}: nobody answers at {} within {:g} s: is "
                                              "rank 0 there?",
                                              world.rank, place(world), seconds));
    }
    const bool taken = reason.find("in use") != std::string::npos;
    throw Error(ErrorCode::kIo,
                taken ? fmt::format("rank 0: port {} (MASTER_PORT) is in use already, expected a "
                                    "free one",
                                    world.port)
                      : fmt::format("rank 0 cannot listen at port {} (MASTER_PORT): {}", world.port,
                                    reason));
  }
}

// --- The watch ---------------------------------------------------------------------------------

// Shared by its two threads and the object that made it, so that it can be left behind.
class Watch {
 public:
  Watch(World world, Processes::Lost lost, double limit)
      : world_(std::move(world)), lost_(std::move(lost)), limit_(limit) {}

  // Sees, from now on, that answered() is called at least every so many seconds.
  static void guard(const std::shared_ptr<Watch>& watch) {
    watch->threads_.emplace_back([watch] { watch->see(); });
  }
  // Everybody is there: says and asks who lives, through a store of its own.
  static void begin(const std::shared_ptr<Watch>& watch, Store store, double silence) {
    watch->answered();
    {
      const std::lock_guard lock(watch->mutex_);
      watch->limit_ = silence;
    }
    watch->threads_.emplace_back(
        [watch, store = std::move(store), silence] { watch->beat(store, silence); });
  }
  void answered() {
    const std::lock_guard lock(mutex_);
    answered_ = clock_;
  }
  // The orderly end of both threads; waits for them.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  void leave_behind() {
    told_ = true;
    for (std::thread& thread : threads_) thread.detach();
    threads_.clear();
  }
  // True for the first that asks: who ends the process.
  bool take_the_word() { return !told_.exchange(true); }

 private:
  // Time that this process has seen: while it is stopped (Ctrl-Z) nobody falls silent.
  double clock() {
    const std::lock_guard lock(mutex_);
    return clock_;
  }
  bool stopped_within(double seconds) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, Seconds(seconds), [&] { return stopping_; });
  }
  void end(const std::string& sentence) {
    if (take_the_word()) lost_(sentence);
  }

  void see() {
    constexpr double kTick = 0.25;
    double last = monotonic_seconds();
    while (!stopped_within(kTick)) {
      double silent = 0, limit = 0;
      {
        const std::lock_guard lock(mutex_);
        const double now = monotonic_seconds();
        clock_ += std::min(now - last, 2 * kTick);
        last = now;
        silent = clock_ - answered_;
        limit = limit_;
      }
      if (silent > limit) {
        return end(
            fmt::format("rank 0 at {} has not answered for {:.0f} s: it hangs, or cannot be "
                        "reached",
                        place(world_), silent));
      }
    }
  }

  void beat(const Store& store, double silence) {
    struct Seen {
      int rank;
      std::int64_t beats;
      double at;
    };
    std::vector<Seen> others;
    for (int r = 0; r < world_.size; ++r) {
      if (r != world_.rank && (r == 0 || world_.rank == 0)) others.push_back({r, -1, clock()});
    }
    const double pace = std::clamp(silence / 6, 0.1, 2.0);
    try {
      do {
        store->add(fmt::format("beat/{}", world_.rank), 1);
        if (store->check({kEnd})) {
          if (told_) return;  // It was this process that said it.
          return end(hear_end(store, world_));
        }
        for (Seen& other : others) {
          const std::int64_t beats = store->add(fmt::format("beat/{}", other.rank), 0);
          const double now = clock();
          if (beats != other.beats) {
            other = {other.rank, beats, now};
          } else if (now - other.at > silence) {
            return silent(store, other.rank, now - other.at, pace);
          }
        }
        answered();
      } while (!stopped_within(pace));
    } catch (const std::exception& e) {
      end(
          fmt::format("the connection to rank 0 at {} is lost, it has ended or cannot be reached "
                      "({})",
                      place(world_), reason_of(e)));
    }
  }

  void silent(const Store& store, int rank, double seconds, double pace) {
    const std::string sentence =
        fmt::format("rank {} of {} has ended or hangs: no sign of life for {:.0f} s", rank,
                    world_.size, seconds);
    const std::string why = text_of(store->compareSet(kEnd, {}, bytes_of(sentence)));
    if (world_.rank == 0) pause(3 * pace);  // The others are to hear it before the store goes.
    end(why);
  }

  const World world_;
  const Processes::Lost lost_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  double clock_ = 0, answered_ = 0, limit_;
  std::atomic<bool> told_ = false;
  std::vector<std::thread> threads_;  // The maker's.
};

// --- Meeting -----------------------------------------------------------------------------------

// "model.hidden is 32, rank 0 has 64", for the first key that differs.
std::string difference(const Json& own, const Json& zero) {
  for (const auto& [section, keys] : own.items()) {
    for (const auto& [key, value] : keys.items()) {
      const Json there = zero.value(section, Json::object()).value(key, Json());
      if (there != value) {
        return fmt::format("{}.{} is {}, rank 0 has {}", section, key, dump_json(value),
                           dump_json(there));
      }
    }
  }
  return "";
}

std::string hello(int rank) { return fmt::format("hello/{}", rank); }

// Throws what is wrong with what `rank` said of itself.
void compare(int rank, const std::string& said, const World& world, const Json& zero) {
  const Json json = parse_json(said, fmt::format("what rank {} says", rank));
  const int size = json.value("size", 0);
  if (size != world.size) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("rank {} was told of {} processes and rank 0 of {}, expected one "
                            "WORLD_SIZE",
                            rank, size, world.size));
  }
  if (const std::string unlike = difference(json.at("config"), zero); !unlike.empty()) {
    throw Error(ErrorCode::kBadArgument, fmt::format("rank {}: {}, expected the same config "
                                                     "everywhere",
                                                     rank, unlike));
  }
}

// While a process waits for the others: throws where it is to stop or the time is over.
class Wait {
 public:
  Wait(double seconds, const std::function<bool()>& stop, Watch& watch)
      : stop_(stop), watch_(watch), until_(monotonic_seconds() + seconds) {}

  void go_on(const std::string& too_late) {
    watch_.answered();
    if (stop_ && stop_())
      throw Error(ErrorCode::kIo, "stopped while it waited for other processes");
    if (monotonic_seconds() > until_) throw Error(ErrorCode::kIo, too_late);
    pause(0.02);
  }

 private:
  const std::function<bool()>& stop_;
  Watch& watch_;
  double until_;
};

// Rank 0: waits for the others, and looks at what they say.
void receive(const Store& store, const World& world, const Json& likeness, double seconds,
             Wait wait) {
  for (int r = 1; r < world.size; ++r) {
    while (!store->check({hello(r)})) {
      wait.go_on(fmt::format("rank {} of {} has not come within {:g} s (distributed.join)", r,
                             world.size, seconds));
    }
    compare(r, text_of(store->get(hello(r))), world, likeness);
  }
  store->set("go", bytes_of("1"));
}

// Other ranks: wait for rank 0's word.
void wait_for_go(const Store& store, const World& world, double seconds, Wait wait) {
  while (!store->check({"go"})) {
    if (store->check({kEnd})) throw Error(ErrorCode::kIo, hear_end(store, world));
    wait.go_on(fmt::format("rank {}: rank 0 at {} has not begun within {:g} s", world.rank,
                           place(world), seconds));
  }
  // A rank that rank 0 does not know of was not looked at.
  const Json zero = parse_json(text_of(store->get(hello(0))), "what rank 0 says");
  if (zero.value("size", 0) != world.size) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("rank {} was told of {} processes and rank 0 of {}, expected one "
                            "WORLD_SIZE",
                            world.rank, world.size, zero.value("size", 0)));
  }
}

c10::intrusive_ptr<c10d::ProcessGroupGloo> open_group(const World& world, const Store& store) {
  auto options = c10d::ProcessGroupGloo::Options::create(kOperationLimit);
  // The address by which this machine is seen from where rank 0 is: its name may mean loopback.
  const auto interface = environment("GLOO_SOCKET_IFNAME");
  options->devices.push_back(
      interface ? c10d::ProcessGroupGloo::createDeviceForInterface(*interface)
                : c10d::ProcessGroupGloo::createDeviceForHostname(
                      local_address_towards(world.address, world.port)));
  options->threads = 2;
  return c10::make_intrusive<c10d::ProcessGroupGloo>(
      c10::make_intrusive<c10d::PrefixStore>("gloo", store), world.rank, world.size, options);
}

}  // namespace

struct Processes::Meeting {
  Store store;
  std::shared_ptr<Watch> watch;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group;
  double silence = 0;
  bool left = false;
};

Processes::Processes() = default;

Processes::Processes(const World& world, const DistributedConfig& limits, const Json& likeness,
                     Lost lost, const std::function<bool()>& stop)
    : Processes() {  // From here on the destructor is called where something is thrown.
  world_ = world;
  if (!world.many()) return;
  meeting_ = std::make_unique<Meeting>();
  Meeting& m = *meeting_;
  m.silence = limits.silence;
  m.store = open_store(world, hosts(world), limits.join);
  m.watch = std::make_shared<Watch>(world, std::move(lost), limits.silence);
  Watch::guard(m.watch);
  try {
    if (m.store->add(fmt::format("taken/{}", world.rank), 1) > 1) {
      throw Error(ErrorCode::kBadArgument,
                  fmt::format("rank {} is taken by another process already, expected each RANK "
                              "once",
                              world.rank));
    }
    m.store->set(hello(world.rank),
                 bytes_of(dump_json(Json{{"size", world.size}, {"config", likeness}})));
    if (world.rank == 0) {
      receive(m.store, world, likeness, limits.join, Wait(limits.join, stop, *m.watch));
    } else {
      const double patience = limits.join + limits.silence;
      wait_for_go(m.store, world, patience, Wait(patience, stop, *m.watch));
    }
    Watch::begin(m.watch, open_store(world, false, limits.silence), limits.silence);
    m.group = open_group(world, m.store);
  } catch (const Error& e) {
    if (world.rank == 0) give_up(e.what());
    throw;
  } catch (const std::exception& e) {
    broken(reason_of(e));
  }
  barrier();
}

Processes::~Processes() {
  if (!meeting_ || meeting_->left) return;
  // Their destructors wait for what hangs.
  if (meeting_->watch) meeting_->watch->leave_behind();
  meeting_->group.release();
  meeting_->store.release();
}

void Processes::broken(const std::string& reason) const {
  // A socket knows less than the watch, which will hear or find out who was lost, and end this.
  pause(meeting_->silence + 4);
  throw Error(ErrorCode::kIo, fmt::format("rank {}: the connection to another process is lost: {}",
                                          rank(), reason));
}

std::function<void()> Processes::begin_sum(const Tensor& tensor) {
  if (!many()) return [] {};
  std::vector<Tensor> tensors{tensor};
  try {
    return [this, work = meeting_->group->allreduce(tensors)] {
      try {
        work->wait();
      } catch (const std::exception& e) {
        broken(reason_of(e));
      }
    };
  } catch (const std::exception& e) {
    broken(reason_of(e));
  }
}

void Processes::sum(const Tensor& tensor) { begin_sum(tensor)(); }

void Processes::sum(std::span<double> values) {
  if (!many()) return;
  sum(torch::from_blob(values.data(), {static_cast<std::int64_t>(values.size())}, torch::kFloat64));
}

double Processes::sum(double value) {
  sum(std::span(&value, 1));
  return value;
}

void Processes::broadcast(const Tensor& tensor, int from) {
  if (!many()) return;
  std::vector<Tensor> tensors{tensor};
  c10d::BroadcastOptions options;
  options.rootRank = from;
  try {
    meeting_->group->broadcast(tensors, options)->wait();
    tensor.unsafeGetTensorImpl()->bump_version();  // What was made of the old values is not valid.
  } catch (const std::exception& e) {
    broken(reason_of(e));
  }
}

std::string Processes::broadcast(const std::string& text, int from) {
  if (!many()) return text;
  const Tensor size = torch::tensor({static_cast<std::int64_t>(text.size())}, torch::kInt64);
  broadcast(size, from);
  std::string out = text;
  out.resize(static_cast<std::size_t>(size.item<std::int64_t>()));
  if (!out.empty()) {
    broadcast(torch::from_blob(out.data(), {static_cast<std::int64_t>(out.size())}, torch::kUInt8),
              from);
  }
  return out;
}

int Processes::lowest(bool here) {
  std::vector<double> all(static_cast<std::size_t>(size()), 0);
  all[static_cast<std::size_t>(rank())] = here ? 1 : 0;
  sum(all);
  const auto found = std::ranges::find(all, 1.0);
  return found == all.end() ? -1 : static_cast<int>(found - all.begin());
}

void Processes::expect_same(const std::string& what, std::uint64_t value) {
  if (!many()) return;
  const Tensor zero = torch::tensor({static_cast<std::int64_t>(value)}, torch::kInt64);
  broadcast(zero);
  const bool differs = zero.item<std::int64_t>() != static_cast<std::int64_t>(value);
  if (const int who = lowest(differs); who >= 0) {
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("rank {}: {} differ from those of rank 0, expected the same", who, what));
  }
}

void Processes::barrier() { sum(0.0); }

void Processes::give_up(const std::string& sentence) noexcept {
  if (!meeting_ || meeting_->left) return;
  if (!meeting_->watch->take_the_word()) {
    pause(10);  // The watch is ending this process.
    return;
  }
  // On a thread that can be left behind: the store may hang.
  const auto told = std::make_shared<std::atomic<bool>>(false);
  const double patience = std::min(meeting_->silence, kLastWords);
  std::thread([store = meeting_->store, world = world_, patience, told,
               text = fmt::format("rank {}: {}", rank(), sentence)] {
    try {
      store->compareSet(kEnd, {}, bytes_of(text));
      if (hosts(world)) wait_until_heard(store, world, patience);
    } catch (const std::exception&) {  // The store is gone: whoever had it tells the others.
    }
    *told = true;
  }).detach();
  for (const double until = monotonic_seconds() + patience + 1;
       !*told && monotonic_seconds() < until;) {
    pause(0.01);
  }
}

void Processes::leave() {
  if (!many()) return;
  barrier();
  Meeting& m = *meeting_;
  m.left = true;
  m.watch->stop();
  // Nobody closes its connections while another may still send, and rank 0 keeps the store longest.
  const double until = monotonic_seconds() + m.silence;
  const auto all_at = [&](const char* door) {
    m.store->add(door, 1);
    while (monotonic_seconds() < until && m.store->add(door, 0) < size()) pause(0.01);
  };
  try {
    all_at(kLeft);
    m.group.reset();
    if (hosts(world_)) {
      all_at(kGone);
    } else {
      m.store->add(kGone, 1);
    }
  } catch (const std::exception&) {  // The store has gone first; all is done.
  }
  m.group.reset();
  m.store.reset();
}

}  // namespace tern::train
