// `tern train CONFIG.toml`: a training run, with a live line on the terminal.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/cli/console.h"
#include "tern/cli_train/command.h"
#include "tern/cli_train/launcher.h"
#include "tern/train/config.h"
#include "tern/train/trainer.h"
#include "tern/train/world.h"

namespace tern::cli {
namespace {

std::string duration(double seconds) {
  const auto whole = static_cast<long>(seconds + 0.5);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

// One line that is drawn over on a terminal; elsewhere a line now and then, for a log.
class LiveLine {
 public:
  void show(const train::StepReport& r) {
    speed_ = speed_ == 0 ? r.tokens_per_second : 0.95 * speed_ + 0.05 * r.tokens_per_second;
    loss_ = loss_ == 0 ? r.loss : 0.95 * loss_ + 0.05 * r.loss;
    const bool terminal = stderr_is_terminal();
    const double now = monotonic_seconds();
    if (now - shown_ < (terminal ? 0.2 : 30.0) && r.progress < 1) return;
    shown_ = now;
    std::string line =
        fmt::format("step {} {:3.0f} %  loss {:.4f}  lr {:.2e}  {:.0f} tokens/s  left {}", r.step,
                    100 * r.progress, loss_, r.learning_rate, speed_, duration(r.seconds_left));
    if (terminal) {
      line.resize(std::min<std::size_t>(line.size(), static_cast<std::size_t>(terminal_width())));
      fmt::print(stderr, "\r{}\033[K", line);
      drawn_ = true;
    } else {
      fmt::print(stderr, "{}\n", line);
    }
    std::fflush(stderr);
  }
  // Before anything else is written.
  void leave() {
    if (drawn_) fmt::print(stderr, "\n");
    drawn_ = false;
  }

 private:
  double speed_ = 0, loss_ = 0, shown_ = -1e9;
  bool drawn_ = false;
};

// The words that start a process of the same run.
std::vector<std::string> words_of(const std::string& file,
                                  const std::vector<std::string>& overrides, bool resume) {
  std::vector<std::string> words{"train", file};
  for (const std::string& text : overrides) words.insert(words.end(), {"--set", text});
  if (resume) words.emplace_back("--resume");
  return words;
}

// Ends one of many processes without waiting for threads that may hang in the network.
[[noreturn]] void end_process(const std::string& sentence, bool say_it) {
  if (say_it) say(sentence);
  std::fflush(nullptr);
  std::_Exit(1);
}

train::World world_for(const std::optional<std::size_t>& nproc) {
  if (nproc == std::optional<std::size_t>(1)) return {};
  train::World world = train::world_of([](const char* name) { return environment(name); });
  if (nproc && world.many()) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("--nproc {} found where the environment says rank {} of {}, expected "
                            "one of both",
                            *nproc, world.rank, world.size));
  }
  return world;
}

}  // namespace

int run_train(std::span<const std::string> args) {
  CLI::App app("Trains a model as a TOML file says (docs/training.md)", "tern train");
  std::string file;
  std::vector<std::string> overrides;
  double minutes = 0;
  bool resume = false;
  std::optional<std::size_t> nproc;
  app.add_option("CONFIG", file, "the run's TOML file")->required();
  app.add_option("--set", overrides, "key=value over the file, as in schedule.learning_rate=2e-3")
      ->allow_extra_args(false);
  app.add_option("--minutes", minutes, "time budget instead of the file's")
      ->check(CLI::PositiveNumber);
  app.add_flag("--resume", resume, "go on from the run's newest checkpoint");
  app.add_option("--nproc", nproc,
                 "processes on this machine; 1: one, whatever the environment says")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1024}));
  parse(app, args);

  if (minutes > 0) {
    overrides.push_back(fmt::format("training.minutes={}", minutes));
    overrides.emplace_back("training.tokens=0");
  }
  LiveLine live;
  train::TrainOptions options;
  options.world = world_for(nproc);
  const bool first = options.world.rank == 0, many = options.world.many();
  options.resume = resume;
  if (first) {
    options.on_step = [&](const train::StepReport& r) { live.show(r); };
    options.notice = [&](std::string_view sentence) {
      live.leave();
      say(sentence);
    };
    options.progress = stderr_progress();
  }
  options.stop = [] { return InterruptGuard::pressed(); };
  // What all processes of one launcher hear, the first one says.
  const bool speaks = first || !environment(kLaunchedVariable);
  options.lost = [&](const std::string& sentence) {
    live.leave();
    end_process(sentence, speaks);
  };
  train::TrainResult result;
  try {
    const train::TrainConfig config = train::load_config(file, overrides);
    if (nproc && *nproc > 1) return launch(*nproc, words_of(file, overrides, resume));
    keep_freed_memory();
    const InterruptGuard interrupts(true);
    result = train::train(config, options);
  } catch (const Error& e) {
    live.leave();
    if (many) end_process(e.what(), true);
    // The command was right; what its config says is not: exit 1, not 2.
    if (e.code() == ErrorCode::kBadArgument) throw Error(ErrorCode::kUnsupported, e.what());
    throw;
  } catch (const std::exception& e) {
    if (many) end_process(e.what(), true);
    throw;
  }
  live.leave();
  if (!first) return 0;
  if (!result.finished) {
    say(fmt::format("stopped after step {}, saved in {}; go on with the same command and --resume",
                    result.step, result.checkpoint.string()));
    return 0;
  }
  fmt::print("{} steps, {} tokens, held-out loss {:.4f} nats per token, {:.4f} bits per byte\n",
             result.step, result.tokens, result.held_out_loss, result.bits_per_byte);
  fmt::print("{}\n", result.checkpoint.string());
  if (result.skipped > 0) say(fmt::format("{} steps were skipped as spikes", result.skipped));
  return 0;
}

}  // namespace tern::cli
