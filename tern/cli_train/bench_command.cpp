// `tern train bench`: the time of a training step, ternary beside full precision.
#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tern/arch/architecture.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/system.h"
#include "tern/base/thread_pool.h"
#include "tern/cli/console.h"
#include "tern/cli_train/command.h"
#include "tern/train/config_keys.h"
#include "tern/train/step_bench.h"
#include "tern/train/stepper.h"

namespace tern::cli {
namespace {

using train::StepTiming;

struct Options {
  std::string shape, output = "md";
  std::vector<std::string> kinds;
  train::TrainConfig config;
  std::size_t steps = 10;
};

std::vector<const train::StepKind*> chosen(const std::vector<std::string>& names) {
  std::vector<const train::StepKind*> kinds;
  for (const train::StepKind& kind : train::step_kinds()) {
    if (names.empty() || std::ranges::find(names, kind.name) != names.end()) kinds.push_back(&kind);
  }
  return kinds;
}

void complete(Options& o) {
  arch::ModelConfig& model = o.config.model;
  if (!o.shape.empty()) {
    const auto named = arch::named_shape(o.shape);
    if (!named) {
      std::string names;
      for (const std::string_view name : arch::shape_names()) {
        names += (names.empty() ? "" : ", ") + std::string(name);
      }
      throw Error(ErrorCode::kBadArgument,
                  "shape '" + o.shape + "' found, expected one of " + names);
    }
    model = *named;
  }
  const arch::Architecture& a = arch::architecture(model.arch);
  model.sub_norms = a.sub_norms;
  model.qk_norm = a.qk_norm;
  model.activation = a.gguf_activation;
  if (model.kv_heads == 0) model.kv_heads = model.heads;
  if (model.head_dim == 0) model.head_dim = model.hidden / model.heads;
  model.context = std::max(model.context, o.config.sequence);
  arch::validate(model, "the shape");
}

Json to_json(const Options& o, const std::vector<StepTiming>& timings) {
  const arch::ModelConfig& m = o.config.model;
  Json rows = Json::array();
  for (const StepTiming& t : timings) {
    Json row = {{"kind", t.name},
                {"seconds", t.seconds},
                {"median_seconds", train::median(t.seconds)},
                {"parameters", t.parameters},
                {"state_bytes", t.state_bytes},
                {"first_loss", t.first_loss},
                {"last_loss", t.last_loss}};
    if (t.peak_bytes > 0) row["peak_bytes"] = t.peak_bytes;
    rows.push_back(row);
  }
  return {
      {"machine", cpu_model()},
      {"threads", o.config.threads},
      {"shape",
       {{"hidden", m.hidden},
        {"ffn", m.ffn},
        {"layers", m.layers},
        {"heads", m.heads},
        {"kv_heads", m.kv_heads},
        {"vocab", m.vocab}}},
      {"sequence", o.config.sequence},
      {"batch", o.config.batch},
      {"accumulate", o.config.accumulate},
      {"precision", train::product_type(o.config.precision) == torch::kBFloat16 ? "bf16" : "f32"},
      {"rows", rows}};
}

void print_table(const Options& o, const std::vector<StepTiming>& timings) {
  const arch::ModelConfig& m = o.config.model;
  const bool half = train::product_type(o.config.precision) == torch::kBFloat16;
  fmt::print(
      "{}, {} threads; hidden {}, ffn {}, {} layers, {} heads, vocabulary {}; {} x {} tokens"
      " a pass, {} passes a step, {}; medians of {} steps in turns\n\n",
      cpu_model(), o.config.threads, m.hidden, m.ffn, m.layers, m.heads, m.vocab, o.config.batch,
      o.config.sequence, o.config.accumulate, half ? "bf16" : "float32", o.steps);
  const auto twin = std::ranges::find(timings, "fp", &StepTiming::name);
  const bool memory = timings.size() == 1;
  fmt::print("| step | ms | tokens/s | {} |\n|---|---:|---:|---:|\n",
             memory ? "peak, of weights + gradients + moments" : "of fp's time");
  for (const StepTiming& t : timings) {
    const double seconds = train::median(t.seconds);
    std::string last = "-";
    if (memory) {
      last = fmt::format("{:.0f} of {:.0f} MiB", static_cast<double>(t.peak_bytes) / 1048576,
                         static_cast<double>(t.state_bytes) / 1048576);
    } else if (twin != timings.end()) {
      last = fmt::format("{:.3f}", seconds / train::median(twin->seconds));
    }
    fmt::print("| {} | {:.1f} | {:.0f} | {} |\n", t.name, 1000 * seconds,
               static_cast<double>(o.config.tokens_per_step()) / seconds, last);
  }
}

}  // namespace

int run_train_bench(std::span<const std::string> args) {
  CLI::App app(
      "Measures a training step: ternary on tern's kernels, ternary on plain libtorch, and the "
      "twin "
      "in full precision, in turns. With one --kind, its peak memory too",
      "tern train bench");
  Options o;
  arch::ModelConfig& model = o.config.model;
  model.arch = arch::ArchitectureId::kBitnetB158;
  model.hidden = 512;
  model.ffn = 1408;
  model.layers = 8;
  model.heads = 8;
  model.vocab = 4096;
  app.add_option("--shape", o.shape, "a shape that `tern synth` knows, instead of the next ones");
  app.add_option("--hidden", model.hidden)->capture_default_str();
  app.add_option("--ffn", model.ffn)->capture_default_str();
  app.add_option("--layers", model.layers)->capture_default_str();
  app.add_option("--heads", model.heads)->capture_default_str();
  app.add_option("--vocab", model.vocab)->capture_default_str();
  app.add_option("--sequence", o.config.sequence, "tokens in one sequence")->capture_default_str();
  app.add_option("--batch", o.config.batch, "sequences in one pass")->capture_default_str();
  app.add_option("--accumulate", o.config.accumulate, "passes in one step")->capture_default_str();
  app.add_option("--steps", o.steps, "steps of each kind that are timed")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000));
  app.add_option("-t,--threads", o.config.threads, "0: the CPUs of this process")
      ->capture_default_str();
  app.add_option("--kind", o.kinds, "only this one; may be given again")
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"b1.58", "b1.58-libtorch", "fp"}));
  app.add_option("-o,--output", o.output, "md or json")
      ->capture_default_str()
      ->check(CLI::IsMember({"md", "json"}));
  bool f32 = false;
  app.add_flag("--f32", f32, "products in float32 also where the CPU multiplies bf16");
  parse(app, args);
  if (f32) o.config.precision = train::Precision::kFloat32;
  if (o.config.threads == 0) o.config.threads = default_threads();
  complete(o);
  keep_freed_memory();
  const auto timings = train::bench_steps(o.config, chosen(o.kinds), o.steps, {});
  if (o.output == "json") {
    fmt::print("{}\n", dump_json(to_json(o, timings)));
  } else {
    print_table(o, timings);
  }
  return 0;
}

}  // namespace tern::cli
