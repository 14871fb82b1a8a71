// A model opened the way every command opens one.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tern/base/thread_pool.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/lora_adapter.h"
#include "tern/cli/options.h"
#include "tern/model/model.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::cli {

// First the header and the tokenizer, then (load_weights) the weights, so that a command can count
// a prompt's tokens before it says how long a context it needs.
struct LoadedModel {
  std::unique_ptr<ThreadPool> pool;
  std::shared_ptr<const checkpoint::Checkpoint> checkpoint;
  std::shared_ptr<const checkpoint::LoraAdapter> adapter;  // Of --lora, or none.
  std::optional<tokenizer::Tokenizer> tokenizer;           // Empty where the model has none.
  std::unique_ptr<const model::Model> model;               // After load_weights().
  double seconds = 0;                                      // That loading took so far.

  const tokenizer::Tokenizer& need_tokenizer() const;  // Throws Error(kUnsupported) if none.
  // `context` and `layout` as Model takes them. A terminal sees a progress bar. TERN_ISA chooses
  // the kernels.
  void load_weights(std::size_t context, TernaryLayout layout = TernaryLayout::kFivePerByte);
};

// The adapter that --lora names, checked against the model; nullptr where there is no --lora.
std::shared_ptr<const checkpoint::LoraAdapter> open_adapter(
    const ModelOptions& options, const checkpoint::Checkpoint& checkpoint);

LoadedModel open_model(const ModelOptions& options, bool with_tokenizer = true);

// What -c means: 0 all that the model was made for; not given, that but at most 4096.
std::size_t context_size(const LoadedModel& model, std::optional<std::size_t> flag);

}  // namespace tern::cli
