// A run on disk: RUN/config.toml, metrics.jsonl, events.out.tfevents.*, data/ (token shards) and
// checkpoints/step-00001200/, with `latest` and `best` beside them pointing at two of those, and
// tokenizer/, the files that every checkpoint gets.
//
// A checkpoint is a Hugging Face folder that every tern command reads (latent float32 weights in
// model.safetensors, config.json, tokenizer) plus what only training needs: optimizer.safetensors
// (AdamW's moments as exp_avg.NAME and exp_avg_sq.NAME, the digits that flip rates are counted
// against as digits.NAME, libtorch's generator as rng) and trainer.json (RunState). It appears
// whole or not at all. Of a run that trains adapters, a checkpoint has those in the place of model
// and tokenizer, as PEFT writes them (checkpoint/lora_adapter.h): the base stays where it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>

#include "tern/tokenizer/tokenizer_data.h"
#include "tern/train/stepper.h"

namespace tern::train {

// Where a run stands; everything that its future depends on besides tensors.
struct RunState {
  std::uint64_t step = 0;      // Finished steps, skipped ones among them.
  std::uint64_t position = 0;  // Windows of text used (corpus/window_order.h).
  std::uint64_t skipped = 0;   // Steps whose update was left out because of a loss spike.
  double seconds = 0;          // Wall time of training, over all parts of the run.
  double running_loss = -1;    // Mean that spikes are measured from; negative: none yet.
  double best_loss = std::numeric_limits<double>::infinity();  // Held-out.
  std::uint64_t best_step = 0;
  // TokenShards::content_hash() of both splits: the text that `position` counts in.
  std::uint64_t train_text = 0, held_out_text = 0;
  std::uint64_t base_weights = 0;  // weights_hash() of the base of adapters; 0: there is none.
  bool finished = false;           // The budget was used up.
  double final_loss = 0, final_bits_per_byte = 0;  // Then: over all held-out text.
};

using Digits = std::map<std::string, torch::Tensor>;  // int8, by layer.

// In a run's folder, locked while a process trains there (base/file_lock.h).
inline constexpr const char* kLockName = ".lock";

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }

  // The newest checkpoint, by the number in its name.
  std::optional<std::filesystem::path> newest() const;

  // Removes what a killed run left half-written. Only while this process holds the run's lock.
  void clean() const;

  // Removes logs and tokenizer: those of a run that was killed before its first checkpoint.
  void start_anew() const;

  // Writes checkpoints/tokenizer unless it is there: every checkpoint gets the files that the run
  // began with.
  void keep_tokenizer(const TrainConfig& config, const tokenizer::TokenizerData& tokenizer) const;

  // Makes `latest` and `best` lead where `state` says: a kill may have come between a checkpoint
  // and its links.
  void point_links(const std::filesystem::path& newest, const RunState& state) const;

  // Writes checkpoints/step-N, points the links, and then removes all but the newest `config.keep`
  // and the best. Throws Error(kIo), and what was there stays. After keep_tokenizer().
  void write(const TrainConfig& config, const tokenizer::TokenizerData& tokenizer, Stepper& stepper,
             const Digits& digits, const RunState& state) const;

  // Puts a checkpoint's tensors into model, optimiser, generator and `digits`. Throws
  // Error(kCorruptFile) naming the tensor that is missing or has another shape than the config's
  // model.
  RunState read(const std::filesystem::path& checkpoint, Stepper& stepper, Digits& digits) const;

 private:
  // Among checkpoints, where nobody keeps files of their own: start_anew() removes it.
  std::filesystem::path tokenizer_folder() const { return checkpoints() / "tokenizer"; }
  void point(const char* link, const std::string& name) const;
  void remove_old(std::size_t keep, const RunState& state) const;

  std::filesystem::path path_;
};

// Loads the weights of a Hugging Face folder or safetensors file into the model, but for adapters.
// Throws as read().
void load_weights(const std::filesystem::path& safetensors, Transformer& model);

}  // namespace tern::train
