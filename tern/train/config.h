// A training run in one file: every key of the TOML, with its default. docs/training.md describes
// them for users.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/arch/model_config.h"
#include "tern/base/json.h"
#include "tern/corpus/documents.h"
#include "tern/train/weight_kind.h"

namespace tern::train {

enum class Precision { kAuto, kFloat32, kBFloat16 };  // kAuto: bf16 where the CPU multiplies it.
enum class ScheduleKind { kTwoStage, kWsd, kCosine, kLinear, kConstant };

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::kTwoStage;
  double learning_rate = 1.5e-3;       // Peak.
  double second_learning_rate = 1e-3;  // two-stage: peak of the second line.
  double weight_decay = 0.1;
  double second_weight_decay = 0;  // two-stage: from the switch on.
  double switch_at = 0.5;          // two-stage: share of the run.
  double decay_share = 0.2;        // wsd: share of the run at its end that decays.
  double final_ratio = 0;          // cosine, linear, wsd: last rate over peak.
  std::uint64_t warmup_steps = 375;
};

// Of which training fills in the rest: tied, as small models are.
inline arch::ModelConfig default_model() {
  arch::ModelConfig model;
  model.tied_head = true;
  return model;
}

struct TrainConfig {
  // [model]: architecture = "llama" | "bitnet" | "bitnet-b1.58"; weights = "b1.58" | "b1" | "fp";
  // scale = "tensor" | "row" | 64 ... (columns of a group); hidden, ffn, layers, heads, kv_heads
  // (= heads), head_dim (= hidden / heads), context (= training.sequence), rope_theta, rms_eps,
  // tied, init_std; vocab (0 here) comes from the tokenizer, norms and activation from the
  // architecture's row in arch/, declares_b158 and declares_float from `weights`.
  arch::ModelConfig model = default_model();
  WeightKind weights = WeightKind::kTernary;
  ScaleKind scale = ScaleKind::kTensor;
  std::size_t group = 0;   // Columns, for ScaleKind::kGroup.
  double init_std = 0.02;  // Of the first weights: see transformer.h.
  double sub_norm_init = 0.02;

  // [tokenizer]
  std::filesystem::path tokenizer;  // path: what `tern tokenizer train` wrote, or any model's.

  // [data]: train, held_out (lists of paths), holdout, separator (one or a list), field.
  corpus::TextSources train_text, held_out_text;
  double holdout = 0.01;  // Used where held_out is empty.

  // [training]
  std::filesystem::path out;  // The run's folder.
  std::uint64_t seed = 1;
  std::size_t sequence = 256;  // Tokens.
  std::size_t batch = 8;       // Sequences in one forward pass.
  std::size_t accumulate = 1;  // Forward passes in one step.
  std::uint64_t tokens = 0;    // Budget; 0: none.
  double minutes =
      0;  // Budget of wall time over all parts of the run; 0: none. One of both must be given.
  Precision precision = Precision::kAuto;
  std::size_t threads = 0;  // 0: the CPUs of this process.

  // [optimizer] AdamW. Decay is for matrices alone, not for norms.
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double clip = 1.0;  // Of the gradient's norm; 0: none.

  ScheduleConfig schedule;  // [schedule]

  // [evaluate], in steps; 0: never but at the end.
  std::uint64_t evaluate_every = 200;
  std::uint64_t evaluate_tokens =
      65536;  // Held-out tokens per evaluation; 0: all. The end evaluates all.
  std::uint64_t sample_every = 1000;
  std::size_t sample_tokens = 80;
  std::vector<std::string> sample_prompts;

  // [checkpoint]
  std::uint64_t checkpoint_every = 200;  // Steps; the end always writes one.
  double checkpoint_minutes = 10;        // Also after this much wall time; 0: not.
  std::size_t keep = 2;                  // The newest, and the best besides.

  // [guards]
  double spike =
      2.0;  // A loss more than this many nats above its running mean skips the step; 0: none.

  std::size_t tokens_per_step() const noexcept { return sequence * batch * accumulate; }
};

// Reads a TOML file and applies `overrides` ("schedule.learning_rate=2e-3": a TOML value, or a bare
// word for a string). Relative paths are relative to the file; those of overrides to the working
// directory. Throws Error(kBadArgument) in one sentence: a key that does not exist (naming the
// nearest that does), a value of the wrong type or range, contradicting sizes.
TrainConfig load_config(const std::filesystem::path& file,
                        const std::vector<std::string>& overrides);

// The config as TOML that load_config() reads back to the same, paths absolute.
std::string to_toml(const TrainConfig& config);
Json to_json(const TrainConfig& config);

std::string_view name(ScheduleKind kind) noexcept;    // "two-stage"
std::string_view name(Precision precision) noexcept;  // "f32"

}  // namespace tern::train
