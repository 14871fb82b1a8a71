// A training run from its first token to its last checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "tern/base/notice.h"
#include "tern/train/config.h"
#include "tern/train/world.h"

namespace tern::train {

struct StepReport {
  std::uint64_t step = 0, tokens = 0;  // Finished, this step among them.
  double loss = 0, learning_rate = 0, grad_norm = 0, tokens_per_second = 0;
  double progress = 0;      // 0 to 1.
  double seconds_left = 0;  // By the speed so far.
  bool skipped = false;
};

struct TrainOptions {
  bool resume = false;  // Go on from the newest checkpoint in config.out, if there is one.
  std::function<void(const StepReport&)> on_step;
  Notice notice;               // Sentences for a person.
  Progress progress;           // Of tokenising.
  std::function<bool()> stop;  // Asked after every step; true: checkpoint and return.

  World world;  // Which of how many processes this one is; only rank 0 writes and tells.
  // Called once where another process is lost or has failed, from a thread of its own, with the
  // sentence that says so. It must end this process: its main thread may hang in the network.
  // Required where there are many.
  std::function<void(const std::string&)> lost;
};

struct TrainResult {
  bool finished = false;             // False: stopped on request, to be resumed.
  std::filesystem::path checkpoint;  // The newest.
  std::uint64_t step = 0, tokens = 0, skipped = 0;
  double held_out_loss = 0, bits_per_byte = 0;  // Over all held-out text; 0 unless finished.
};

// Trains as `config` says. The progress that the schedule follows is the share of the token budget
// that is used, or of the time budget, whichever is larger. A run that is killed at any moment and
// resumed computes what it would have computed (same machine, threads and library; with a token
// budget), and metrics.jsonl holds the same losses. Sets libtorch's thread count and generator: one
// run at a time in a process.
//
// Throws Error: where config.out already holds checkpoints and `resume` is false, or another
// model, tokenizer, seed or text than the config's; text shorter than one step; a loss or gradient
// that is not finite (the state before that step is saved first, and the layer named); a disk that
// is full (checkpoints stay). With many processes (world.h), all of them call it alike, see
// config.out under the same path, and finish the same steps; after an Error the process must end,
// for threads may be left that hang in the network.
TrainResult train(const TrainConfig& config, const TrainOptions& options);

}  // namespace tern::train
