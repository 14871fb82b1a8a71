// Opening a model.
#include "tern/cli/loaded_model.h"

#include <algorithm>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/kernels/dispatch.h"

namespace tern::cli {

const tokenizer::Tokenizer& LoadedModel::need_tokenizer() const {
  if (!tokenizer) {
    throw Error(ErrorCode::kUnsupported,
                checkpoint->name() +
                    ": no tokenizer found, expected tokenizer.json, tokenizer.model or a GGUF "
                    "vocabulary");
  }
  return *tokenizer;
}

void LoadedModel::load_weights(std::size_t context, TernaryLayout layout) {
  const double start = monotonic_seconds();
  model = std::make_unique<const model::Model>(checkpoint, kernels::table_from_environment(),
                                               context, *pool, stderr_progress(), layout, adapter);
  seconds += monotonic_seconds() - start;
}

std::shared_ptr<const checkpoint::LoraAdapter> open_adapter(
    const ModelOptions& options, const checkpoint::Checkpoint& checkpoint) {
  if (options.lora.empty()) return nullptr;
  return std::make_shared<const checkpoint::LoraAdapter>(options.lora, checkpoint.config());
}

LoadedModel open_model(const ModelOptions& options, bool with_tokenizer) {
  const double start = monotonic_seconds();
  kernels::table_from_environment();  // A wrong TERN_ISA is said before anything is loaded.
  LoadedModel opened;
  opened.pool = std::make_unique<ThreadPool>(options.thread_count());
  opened.checkpoint =
      checkpoint::open_checkpoint(options.path(), options.open_options(), with_tokenizer);
  opened.adapter = open_adapter(options, *opened.checkpoint);
  if (const auto& data = opened.checkpoint->tokenizer()) {
    opened.tokenizer.emplace(checkpoint::make_tokenizer(*data, opened.checkpoint->name()));
  }
  opened.seconds = monotonic_seconds() - start;
  return opened;
}

std::size_t context_size(const LoadedModel& model, std::optional<std::size_t> flag) {
  constexpr std::size_t kDefault = 4096;
  return flag ? *flag : std::min(model.checkpoint->config().context, kDefault);
}

}  // namespace tern::cli
