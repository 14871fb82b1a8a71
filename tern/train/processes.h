// The processes of one run: how they meet, add up tensors, and end together.
//
// They meet at rank 0 (world.h) in a store of names and values, and then talk to each other
// directly, by Gloo over TCP. Each says in the store every few seconds that it lives; rank 0 looks
// for one that falls silent, and all look for rank 0, so that a process that is killed, hangs or
// loses its network ends all others within distributed.silence and a few seconds. processes.cpp is
// the only file that sees c10d.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "tern/base/json.h"
#include "tern/train/config.h"
#include "tern/train/world.h"

namespace tern::train {

// Collective calls ("all") are made by every process, in the same order, from one thread. They
// return the same values to all, also where sums are rounded. With one process they return at once.
// Throws Error(kIo) where another process is lost and `lost` has not ended this one before.
class Processes {
 public:
  // Called from a thread of its own, with the sentence that says why the run ends; it has to end
  // the process without waiting for other threads, which may hang in the network.
  using Lost = std::function<void(const std::string& sentence)>;

  Processes();  // One process: no store, no threads.
  // All: waits until everybody is there, for distributed.join seconds, and compares `likeness`, an
  // object of objects (a config), with rank 0's. Throws Error in one sentence: a port that is
  // taken, a rank that does not come or comes twice, another number of processes, a key of
  // `likeness` that differs; `stop`, asked while it waits, saying true.
  Processes(const World& world, const DistributedConfig& limits, const Json& likeness, Lost lost,
            const std::function<bool()>& stop = {});
  // Leaves threads and connections behind unless leave() was called: then the process is to end.
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  int rank() const noexcept { return world_.rank; }
  int size() const noexcept { return world_.size; }
  bool many() const noexcept { return world_.many(); }
  bool first() const noexcept { return world_.rank == 0; }

  // All: `tensor`, contiguous and of one shape and type, becomes the sum.
  void sum(const torch::Tensor& tensor);
  void sum(std::span<double> values);
  double sum(double value);
  // All: begins to add up; the function that is returned waits for the end, and is to be called
  // once, before `tensor` is read or changed. Several may be under way.
  std::function<void()> begin_sum(const torch::Tensor& tensor);
  // All: `tensor`, or text, becomes that of process `from`.
  void broadcast(const torch::Tensor& tensor, int from = 0);
  std::string broadcast(const std::string& text, int from = 0);
  // All: whether it is true anywhere.
  bool any(bool here) { return many() ? sum(here ? 1.0 : 0.0) > 0 : here; }
  // All: the lowest rank where it is true, or -1.
  int lowest(bool here);
  // All: throws Error(kUnsupported) where `value` is not that of rank 0; `what` as in "the
  // weights".
  void expect_same(const std::string& what, std::uint64_t value);
  void barrier();

  // Tells the others why this process ends, so that they end with the same sentence; waits a few
  // seconds for them to hear it. Before the process ends with an error.
  void give_up(const std::string& sentence) noexcept;
  // All: the orderly end.
  void leave();

 private:
  struct Meeting;
  [[noreturn]] void broken(const std::string& reason) const;

  World world_;
  std::unique_ptr<Meeting> meeting_;
};

}  // namespace tern::train
