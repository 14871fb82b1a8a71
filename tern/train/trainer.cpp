// The loop: text in order, steps, eyes, checkpoints, guards.
#include "tern/train/trainer.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/file_lock.h"
#include "tern/base/system.h"
#include "tern/base/thread_pool.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/corpus/window_order.h"
#include "tern/train/evaluate.h"
#include "tern/train/event_file.h"
#include "tern/train/lora.h"
#include "tern/train/metrics.h"
#include "tern/train/processes.h"
#include "tern/train/run_folder.h"
#include "tern/train/schedule.h"
#include "tern/train/start_model.h"
#include "tern/train/stepper.h"
#include "tern/train/text_batches.h"

namespace tern::train {
namespace {

using torch::Tensor;

constexpr double kSampleTemperature = 0.8;
// The mean that a spike is measured from follows the loss with this weight per step.
constexpr double kRunningWeight = 0.02;
// Many processes: steps between looks whether all have the same weights.
constexpr std::uint64_t kStepsPerComparison = 100;

tokenizer::Tokenizer open_tokenizer(const TrainConfig& config) {
  return checkpoint::make_tokenizer(checkpoint::open_tokenizer(config.tokenizer, {}),
                                    config.tokenizer.string());
}

// What must be the same in all processes: the config without what is each machine's own.
Json likeness(const TrainConfig& config) {
  Json json = to_json(config);
  for (const char* section : {"start", "tokenizer", "data"}) json.erase(section);
  for (const char* key : {"out", "threads"}) json["training"].erase(key);
  json["distil"].erase("teacher");
  return json;
}

class Trainer {
 public:
  Trainer(TrainConfig config, const TrainOptions& options, Processes& processes)
      : config_(std::move(config)),
        options_(options),
        processes_(processes),
        folder_(config_.out),
        tokenizer_(open_tokenizer(config_)) {
    config_.processes = static_cast<std::size_t>(processes_.size());
  }

  TrainResult run() {
    const std::size_t share = std::max<std::size_t>(
        1, default_threads() / std::max<std::size_t>(1, options_.world.local_size));
    torch::set_num_threads(static_cast<int>(config_.threads > 0 ? config_.threads : share));
    check_budget();
    std::unique_ptr<const FileLock> lock;
    if (processes_.first()) {
      std::filesystem::create_directories(config_.out);
      lock = std::make_unique<const FileLock>(config_.out / kLockName, config_.out.string());
    }
    const auto checkpoint = open_folder();
    open_all_text();
    order_.emplace(text_.train->windows(), config_.seed);
    stepper_.emplace(config_, &processes_);
    const bool adapts = config_.lora.rank > 0;
    const bool loads = processes_.first() && (!checkpoint || adapts);
    const std::uint64_t base = loads ? load_start() : 0;
    if (checkpoint) {
      go_on_from(*checkpoint);
      if (adapts && processes_.first()) check_base(base);
      if (state_.finished && progress() >= 1) return result(true);
    } else {
      state_.train_text = text_.train->content_hash();
      state_.held_out_text = text_.held_out->content_hash();
      state_.base_weights = adapts ? base : 0;
    }
    share_start();
    if (processes_.first()) {
      folder_.keep_tokenizer(config_, tokenizer_.data());
      write_file(config_.out / "config.toml", to_toml(config_));
      metrics_.emplace(config_.out / "metrics.jsonl", state_.step);
      events_.emplace(config_.out, state_.step);
    }
    if (!checkpoint) look(true);  // Where a run starts from belongs to its curves.
    return loop();
  }

 private:
  // load_config() does not know of other processes.
  void check_budget() const {
    if (config_.tokens == 0 || config_.tokens >= config_.tokens_per_step()) return;
    throw Error(ErrorCode::kBadArgument,
                fmt::format("training.tokens of {} found, expected at least one step of {} ({} "
                            "processes * sequence * batch * accumulate)",
                            config_.tokens, config_.tokens_per_step(), config_.processes));
  }

  // The first process looks and decides.
  std::optional<std::filesystem::path> open_folder() {
    std::string newest;
    if (processes_.first()) {
      if (const auto found = prepare_folder()) newest = found->string();
    }
    newest = processes_.broadcast(newest);
    const auto checkpoint =
        newest.empty() ? std::nullopt : std::optional<std::filesystem::path>(newest);
    if (!processes_.first()) settle_model(checkpoint);
    return checkpoint;
  }

  // The first process makes the tokens, which the others then map.
  void open_all_text() {
    const bool first = processes_.first();
    if (!first) processes_.barrier();
    text_ = open_text(config_, tokenizer_, options_.progress, options_.notice, first);
    if (first) processes_.barrier();
    processes_.expect_same("the tokens of the text", text_.train->content_hash());
    processes_.expect_same("the tokens of the held-out text", text_.held_out->content_hash());
  }

  // Everybody begins with the first process's weights. What else a checkpoint holds all have read.
  void share_start() {
    if (!processes_.many()) return;
    for (const Tensor& parameter : stepper_->model()->parameters()) {
      processes_.broadcast(parameter.detach());
    }
    processes_.expect_same("the positions in the text", state_.position);
    stepper_->share(quantization_share(config_.warmup, state_.step));
  }

  // Rounding differs between kinds of CPUs, and memory fails: weights that drift apart are no
  // model.
  void compare_weights() {
    if (!processes_.many()) return;
    std::uint64_t hash = 0;
    for (const Tensor& parameter : stepper_->model()->parameters()) {
      if (!stepper_->same_everywhere(parameter)) continue;
      const Tensor bits = parameter.detach().view(torch::kInt32).sum(torch::kInt64);
      hash = hash * 0x9E3779B97F4A7C15 + static_cast<std::uint64_t>(bits.item<std::int64_t>());
    }
    processes_.expect_same(fmt::format("the weights after step {}", state_.step), hash);
  }

  // Returns the checkpoint to go on from.
  std::optional<std::filesystem::path> prepare_folder() {
    const auto newest = folder_.newest();
    if (newest && !options_.resume) {
      throw Error(ErrorCode::kBadArgument,
                  fmt::format("{} holds a run already: go on with --resume, or choose another "
                              "training.out",
                              config_.out.string()));
    }
    folder_.clean();
    const std::filesystem::path before = config_.out / "config.toml";
    // What a checkpoint is depends on it, so this comes before any is looked at.
    if (newest) check_section("lora", to_json(load_config(before, {})), to_json(config_));
    settle_model(newest);
    if (newest) {
      check_same_run(before);
    } else {
      folder_.start_anew();
    }
    return newest;
  }

  // The shape of the model that the run starts from, or that it has been training so far.
  void settle_model(const std::optional<std::filesystem::path>& newest) {
    arch::ModelConfig& model = config_.model;
    check_adapters(config_);
    if (config_.start.model.empty()) {
      model.vocab = tokenizer_.vocab_size();
    } else {
      // An adapter's checkpoints hold no base.
      take_shape(config_, newest && config_.lora.rank == 0 ? *newest : config_.start.model);
      if (tokenizer_.vocab_size() > model.vocab) {
        throw Error(ErrorCode::kBadArgument,
                    fmt::format("{}: {} pieces found, expected at most the {} of the model in {}",
                                config_.tokenizer.string(), tokenizer_.vocab_size(), model.vocab,
                                config_.start.model.string()));
      }
    }
    arch::validate(model, "the config's model");
  }

  // The weights that the run starts from, where they are not random; of the base of adapters, their
  // hash.
  std::uint64_t load_start() {
    if (config_.start.model.empty() || config_.start.random) return 0;
    load_folder_weights(config_.start.model, stepper_->model(), config_.start.sub_norms);
    const bool adapts = config_.lora.rank > 0;
    if (adapts || config_.weights != WeightKind::kFullPrecision) {
      refuse_digits(stepper_->model(), config_.start.model);
    }
    return adapts ? weights_hash(stepper_->model()) : 0;
  }

  void check_base(std::uint64_t base) const {
    if (base == state_.base_weights) return;
    throw Error(ErrorCode::kBadArgument,
                fmt::format("the weights in {} are not those that the adapters in {} were begun "
                            "with, expected the same base",
                            config_.start.model.string(), config_.out.string()));
  }

  void go_on_from(const std::filesystem::path& checkpoint) {
    state_ = folder_.read(checkpoint, *stepper_, digits_);
    if (state_.train_text != text_.train->content_hash() ||
        state_.held_out_text != text_.held_out->content_hash()) {
      throw Error(ErrorCode::kBadArgument,
                  fmt::format("the tokens of the text are not those that the run in {} was begun "
                              "with, expected the same text and vocabulary",
                              config_.out.string()));
    }
    if (processes_.first()) folder_.point_links(checkpoint, state_);
    notify(options_.notice, fmt::format("going on from {}", checkpoint.string()));
  }

  // What a checkpoint depends on must be what it was; anything else may change between parts of a
  // run.
  void check_same_run(const std::filesystem::path& file) const {
    const Json was = to_json(load_config(file, {}));
    const Json now = to_json(config_);
    for (const char* section : {"model", "start", "data"}) check_section(section, was, now);
    for (const char* key : {"seed", "sequence"}) {
      const Json& before = was.at("training").at(key);
      const Json& after = now.at("training").at(key);
      if (before != after) {
        throw Error(ErrorCode::kBadArgument,
                    fmt::format("training.{} is {}, but the run in {} has {}", key,
                                dump_json(after), config_.out.string(), dump_json(before)));
      }
    }
  }
  void check_section(const char* section, const Json& was_all, const Json& now_all) const {
    const Json &was = was_all.at(section), &now = now_all.at(section);
    for (const auto& [key, value] : now.items()) {
      if (was.contains(key) && was.at(key) == value) continue;
      throw Error(
          ErrorCode::kBadArgument,
          fmt::format("{}.{} is {}, but the run in {} has {}", section, key, dump_json(value),
                      config_.out.string(), was.contains(key) ? dump_json(was.at(key)) : "none"));
    }
  }

  std::uint64_t tokens() const noexcept { return state_.position * config_.sequence; }

  double progress() const noexcept {
    double share = 0;
    if (config_.tokens > 0) {
      share = static_cast<double>(tokens()) / static_cast<double>(config_.tokens);
    }
    if (config_.minutes > 0) share = std::max(share, state_.seconds / (60 * config_.minutes));
    return std::min(share, 1.0);
  }

  TrainResult loop() {
    const double start = monotonic_seconds() - state_.seconds;
    // Time budgets end everywhere at once: by the first process's clock.
    const auto keep_time = [&] {
      state_.seconds = processes_.sum(processes_.first() ? monotonic_seconds() - start : 0);
    };
    double last_saved = monotonic_seconds();
    while (!state_.finished || progress() < 1) {  // A finished run may be given a larger budget.
      step();
      keep_time();
      const bool end = progress() >= 1;
      const bool best = look(end);
      if (end) finish();
      state_.finished = end;
      const bool stop = processes_.any(options_.stop && options_.stop());
      const bool late =
          processes_.any(processes_.first() && config_.checkpoint_minutes > 0 &&
                         monotonic_seconds() - last_saved > 60 * config_.checkpoint_minutes);
      const bool due = config_.checkpoint_every > 0 && state_.step % config_.checkpoint_every == 0;
      if (end || stop || state_.step % kStepsPerComparison == 0) compare_weights();
      if (best || stop || late || due || end) {
        keep_time();
        save();
        last_saved = monotonic_seconds();
      }
      if (end) break;
      keep_time();
      if (stop) return result(false);
    }
    return result(true);
  }

  // The whole held-out text, once, in float32 as the engine computes.
  void finish() {
    Transformer& model = stepper_->model();
    const torch::Dtype trained_in = model->options().product_type;
    if (model->options().lambda < 1) {
      notify(
          options_.notice,
          fmt::format("the run ended with {:.3f} of the quantisation; the model that it leaves is "
                      "quantised whole, and is measured so",
                      model->options().lambda));
    }
    model->set_lambda(1);
    model->set_product_type(torch::kFloat32);
    const HeldOut all = held_out_loss(model, *text_.held_out, config_.batch, 0, processes_);
    model->set_product_type(trained_in);
    check_finite(all);
    if (processes_.first()) {
      metrics_->append({{"kind", "final"},
                        {"step", state_.step},
                        {"tokens", tokens()},
                        {"loss", all.loss},
                        {"bits_per_byte", all.bits_per_byte},
                        {"scored", all.scored},
                        {"skipped", state_.skipped}});
    }
    state_.final_loss = all.loss;
    state_.final_bits_per_byte = all.bits_per_byte;
  }

  TrainResult result(bool finished) const {
    TrainResult out{.finished = finished,
                    .checkpoint = {},
                    .step = state_.step,
                    .tokens = tokens(),
                    .skipped = state_.skipped,
                    .held_out_loss = state_.final_loss,
                    .bits_per_byte = state_.final_bits_per_byte};
    if (const auto newest = folder_.newest()) out.checkpoint = *newest;
    return out;
  }

  // This process's micro-batches of the next step. Its i-th lie side by side with those of the
  // others, so that all of them together see what one process with larger batches would.
  std::vector<Batch> next_batches() {
    std::vector<Batch> batches;
    const auto rank = static_cast<std::size_t>(processes_.rank());
    for (std::size_t i = 0; i < config_.accumulate; ++i) {
      std::vector<std::uint64_t> windows;
      for (std::size_t r = 0; r < config_.batch; ++r) {
        const std::size_t before = (i * config_.processes + rank) * config_.batch;
        windows.push_back(order_->window(state_.position + before + r));
      }
      batches.push_back(text_.train->read(windows));
    }
    return batches;
  }

  void step() {
    const double start = monotonic_seconds();
    const Rates now = rates(config_.schedule, state_.step, progress());
    stepper_->model()->set_lambda(quantization_share(config_.warmup, state_.step));
    const std::vector<Batch> batches = next_batches();
    const Batch* broken = nullptr;
    const LossTerms terms = stepper_->accumulate(batches, totals_of(batches), broken);
    const double loss = terms.total;
    if (!std::isfinite(loss)) refuse_loss(loss, broken);
    const double norm = stepper_->clip();
    if (!std::isfinite(norm)) {
      const std::string layer = stepper_->first_non_finite_gradient();
      refuse(layer.empty() ? "the norm of the gradients exceeds float32"
                           : fmt::format("the gradient of {} is not finite", layer),
             state_.step + 1);
    }
    const double limit = state_.running_loss + config_.spike;
    const bool skipped = config_.spike > 0 && state_.running_loss >= 0 && loss > limit;
    if (skipped) {
      stepper_->drop_gradients();
      ++state_.skipped;
      notify(options_.notice,
             fmt::format("step {}: a loss of {:.3f} is a spike, being above {:.3f}; the step was "
                         "skipped ({} so far)",
                         state_.step + 1, loss, limit, state_.skipped));
    } else {
      stepper_->apply(now, quantization_share(config_.warmup, state_.step + 1));
    }
    // A spike moves the mean too, but only so far: if the text has changed for good, training goes
    // on after a while.
    const double seen = skipped ? limit : loss;
    state_.running_loss = state_.running_loss < 0
                              ? seen
                              : state_.running_loss + kRunningWeight * (seen - state_.running_loss);
    state_.position += config_.windows_per_step();
    ++state_.step;
    record(now, terms, norm, skipped, start);
  }

  StepTotals totals_of(const std::vector<Batch>& batches) {
    std::array<double, 2> sums{};
    for (const Batch& batch : batches) {
      sums[0] += batch.targets_counted();
      sums[1] += static_cast<double>(batch.tokens.size(0));
    }
    processes_.sum(sums);
    return {.targets = sums[0], .windows = sums[1]};
  }

  // `broken`: the batch whose loss is not finite, where this process has one.
  [[noreturn]] void refuse_loss(double loss, const Batch* broken) {
    std::string layer = broken == nullptr
                            ? ""
                            : stepper_->model()->first_non_finite(broken->tokens, broken->segments);
    const int who = processes_.lowest(!layer.empty());
    if (who >= 0) layer = processes_.broadcast(layer, who);
    refuse(fmt::format("the loss is {}, and {} is the first layer whose output is not finite", loss,
                       layer.empty() ? "none" : layer),
           state_.step + 1);
  }

  void record(const Rates& now, const LossTerms& terms, double norm, bool skipped, double start) {
    if (!processes_.first()) return;
    const double seconds = monotonic_seconds() - start;
    const double speed = static_cast<double>(config_.tokens_per_step()) / seconds;
    const double loss = terms.total;
    Json line = {{"kind", "step"},
                 {"step", state_.step},
                 {"tokens", tokens()},
                 {"loss", loss},
                 {"learning_rate", now.learning_rate},
                 {"weight_decay", now.weight_decay},
                 {"grad_norm", norm},
                 {"tokens_per_second", speed},
                 {"seconds", state_.seconds + seconds},
                 {"skipped", skipped}};
    if (config_.warmup.kind != WarmupKind::kNone) {
      line["lambda"] = stepper_->model()->options().lambda;
    }
    if (!config_.distil.teacher.empty()) {
      line["terms"] = {
          {"text", terms.text}, {"logits", terms.logits}, {"attention", terms.attention}};
    }
    metrics_->append(line);
    events_->scalar("loss/train", state_.step, loss);
    events_->scalar("learning_rate", state_.step, now.learning_rate);
    events_->scalar("grad_norm", state_.step, norm);
    events_->scalar("tokens_per_second", state_.step, speed);
    if (!options_.on_step) return;
    const double done = progress();
    const double spent = state_.seconds + seconds;
    options_.on_step({.step = state_.step,
                      .tokens = tokens(),
                      .loss = loss,
                      .learning_rate = now.learning_rate,
                      .grad_norm = norm,
                      .tokens_per_second = speed,
                      .progress = done,
                      .seconds_left = done > 0 ? spent / done * (1 - done) : 0,
                      .skipped = skipped});
  }

  // Held-out loss, shares and samples, where they are due. True where the held-out loss is the best
  // so far.
  bool look(bool at_the_end) {
    const auto due = [&](std::uint64_t every) {
      return at_the_end || (every > 0 && state_.step % every == 0);
    };
    bool best = false;
    if (due(config_.evaluate_every)) {
      Transformer& model = stepper_->model();
      model->set_lambda(quantization_share(config_.warmup, state_.step));
      const HeldOut held =
          held_out_loss(model, *text_.held_out, config_.batch, config_.evaluate_tokens, processes_);
      check_finite(held);
      if (processes_.first()) record(held);
      // A model that is quantised in part is not what the run is for.
      best = state_.step > 0 && model->options().lambda >= 1 && held.loss < state_.best_loss;
      if (best) {
        state_.best_loss = held.loss;
        state_.best_step = state_.step;
      }
    }
    if (due(config_.sample_every) && processes_.first()) write_samples();
    return best;
  }

  void record(const HeldOut& held) {
    Json line = {{"kind", "held_out"},
                 {"step", state_.step},
                 {"tokens", tokens()},
                 {"loss", held.loss},
                 {"bits_per_byte", held.bits_per_byte},
                 {"scored", held.scored}};
    if (config_.warmup.kind != WarmupKind::kNone) {
      line["lambda"] = stepper_->model()->options().lambda;
    }
    metrics_->append(line);
    events_->scalar("loss/held_out", state_.step, held.loss);
    events_->scalar("bits_per_byte/held_out", state_.step, held.bits_per_byte);
    // The digits beside adapters never change.
    const Json layers =
        config_.lora.rank > 0 ? Json::array() : weight_shares(stepper_->model(), digits_);
    if (!layers.empty()) {
      metrics_->append({{"kind", "weights"}, {"step", state_.step}, {"layers", layers}});
    }
  }

  void write_samples() {
    for (const std::string& prompt : config_.sample_prompts) {
      const std::string text =
          sample_text(stepper_->model(), tokenizer_, prompt, config_.sample_tokens,
                      kSampleTemperature, config_.seed + state_.step);
      metrics_->append(
          {{"kind", "sample"}, {"step", state_.step}, {"prompt", prompt}, {"text", text}});
      events_->text("sample", state_.step, prompt + text);
    }
  }

  // All processes: the first one writes.
  void save() {
    stepper_->gather();
    if (processes_.first()) write_checkpoint();
    stepper_->share(quantization_share(config_.warmup, state_.step));
  }

  void write_checkpoint() {
    metrics_->sync();
    events_->flush();
    folder_.write(config_, tokenizer_.data(), *stepper_, digits_, state_);
  }

  void check_finite(const HeldOut& held) {
    if (!std::isfinite(held.loss)) {
      refuse(fmt::format("the held-out loss is {} after it", held.loss), state_.step);
    }
  }

  // Saves what is good, which is everything before this step, and ends the run. Weights that are
  // broken already are no good: then the newest checkpoint is what there is.
  // All processes come here alike; the first one saves and says so, and the others end with it.
  [[noreturn]] void refuse(const std::string& what, std::uint64_t step) {
    stepper_->drop_gradients();
    stepper_->gather();
    if (!processes_.first()) {
      processes_.barrier();
      throw Error(ErrorCode::kUnsupported, fmt::format("step {}: {}", step, what));
    }
    if (const std::string broken = stepper_->first_non_finite_parameter(); !broken.empty()) {
      const auto newest = folder_.newest();
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format("step {}: {}; {} is not finite, so that nothing was saved; the newest "
                      "checkpoint is {}",
                      step, what, broken, newest ? newest->string() : "none"));
    }
    write_checkpoint();
    throw Error(ErrorCode::kUnsupported,
                fmt::format("step {}: {}; the state before it is saved in {} (a lower learning "
                            "rate, a longer warm-up or a smaller optimizer.clip may help)",
                            step, what, folder_.checkpoints().string()));
  }

  TrainConfig config_;
  const TrainOptions& options_;
  Processes& processes_;
  RunFolder folder_;
  tokenizer::Tokenizer tokenizer_;
  RunText text_;
  std::optional<corpus::WindowOrder> order_;
  std::optional<Stepper> stepper_;
  std::optional<MetricsLog> metrics_;
  std::optional<EventFile> events_;
  RunState state_;
  Digits digits_;
};

TrainResult train_among(Processes& processes, const TrainConfig& config,
                        const TrainOptions& options) try {
  return Trainer(config, options, processes).run();
} catch (const c10::Error& e) {  // Out of memory, in many lines; the first one says it.
  const std::string what = e.what_without_backtrace();
  throw Error(ErrorCode::kLimit, "libtorch: " + what.substr(0, what.find('\n')));
} catch (const std::filesystem::filesystem_error& e) {
  throw Error(ErrorCode::kIo, e.path1().string() + ": " + e.code().message());
}

}  // namespace

TrainResult train(const TrainConfig& config, const TrainOptions& options) {
  Processes processes(options.world, config.distributed, likeness(config), options.lost,
                      options.stop);
  try {
    const TrainResult result = train_among(processes, config, options);
    processes.leave();
    return result;
  } catch (const std::exception& e) {
    processes.give_up(e.what());
    throw;
  }
}

}  // namespace tern::train
