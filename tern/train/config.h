// A training run in one file: every key of the TOML, with its default. docs/training.md describes
// them for users.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
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
enum class WarmupKind { kNone, kLinear, kExponential, kSigmoid };
enum class LossReduction { kMean, kSum };
// What multiplies in BitLinear layers: linear_group.h (int8 levels times digits on tern's kernels),
// or bit_linear.h layer by layer, the oracle that the first is compared with.
enum class Products { kTern, kLibtorch };

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

// What a run begins with where its weights are not random.
struct StartConfig {
  std::filesystem::path model;  // An HF folder with float weights; empty: random weights.
  bool sub_norms = false;       // Insert norms before o and down, beginning at 1.
  bool random = false;          // Only its shape and tokenizer: the weights are random.
};

// How much of the quantisation is applied, lambda in x + lambda * (q(x) - x), while a model that
// was trained without it gets used to it: 0 at step 0, 1 from step `steps` on
// (huggingface.co/blog/1_58_llm_extreme_quantization).
struct WarmupConfig {
  WarmupKind kind = WarmupKind::kNone;  // 1 from the first step on.
  std::uint64_t steps = 1000;
  double sharpness = 0;  // 0: 6 for kExponential, 100 for kSigmoid.
};

// What the student learns from a full-precision teacher (BitNet Distillation, arXiv 2510.13998):
// the sum of the terms below, each a mean over tokens, with these weights.
struct DistilConfig {
  std::filesystem::path teacher;  // Any model's HF folder; empty: no teacher.
  double temperature = 5;         // Of both distributions of the next token.
  double text = 1;                // Weight of the text's own cross-entropy,
  double logits = 1;              // of KL(teacher || student) of the next token,
  double attention = 0;           // of the attention relations of one layer.
  std::int64_t layer = -1;        // That layer; from the last one where negative.
  std::size_t relation_heads =
      0;  // Into so many heads states are split; 0: the student's kv_heads.
};

struct LoraConfig {
  std::size_t rank = 0;  // 0: no adapter, all weights are trained.
  double alpha = 16;     // The adapter counts alpha / rank times.
  std::vector<std::string> targets{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                   "gate_proj", "up_proj", "down_proj"};
};

// Of a run of many processes (processes.h).
struct DistributedConfig {
  double bucket_megabytes = 25;  // Gradients that are added up in one go.
  double join = 300;             // Seconds in which all processes have to come.
  double silence = 15;           // Seconds without a sign of life until a process counts as lost.
  bool shard_optimizer = false;  // Each updates its share of the matrices (weight_shards.h).
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

  // [start]: model, sub_norms. The shape in `model` above is then that model's, and known only when
  // start_model.h has read it; a shape key that the file gives beside it must be the same.
  StartConfig start;
  WarmupConfig warmup;  // [quantization]: warmup, warmup_steps, sharpness.
  DistilConfig distil;  // [distil]
  LoraConfig lora;      // [lora]: rank, alpha, targets.

  // [tokenizer]
  std::filesystem::path tokenizer;  // path: what `tern tokenizer train` wrote, or any model's.

  // [data]: train, held_out (lists of paths), holdout, separator (one or a list), field, form.
  corpus::TextSources train_text, held_out_text;
  bool messages = false;  // form = "messages": conversations, of which answers are learnt.
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
  Products products = Products::kTern;
  LossReduction loss = LossReduction::kMean;  // Over the targets of a step.
  std::size_t threads = 0;                    // 0: the CPUs of this process.

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

  DistributedConfig distributed;  // [distributed]: bucket_megabytes, join, silence,
                                  // shard_optimizer.
  std::size_t processes = 1;      // That train together; no key.

  // Names of the keys that the file or an override gave.
  std::set<std::string, std::less<>> given;

  // Of all processes together.
  std::size_t windows_per_step() const noexcept { return processes * batch * accumulate; }
  std::size_t tokens_per_step() const noexcept { return sequence * windows_per_step(); }
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
