// Windows of a token stream.
#include "tern/train/text_batches.h"

#include <fmt/core.h>

#include "tern/base/error.h"
#include "tern/train/message_batches.h"

namespace tern::train {

TextBatches::TextBatches(const std::filesystem::path& folder, corpus::Split split,
                         std::size_t sequence)
    : shards_(folder, split), sequence_(sequence) {}

std::uint64_t TextBatches::windows() const noexcept {
  return shards_.tokens() == 0 ? 0 : (shards_.tokens() - 1) / sequence_;
}

Batch TextBatches::read(std::span<const std::uint64_t> windows) const {
  const auto rows = static_cast<std::int64_t>(windows.size());
  const auto sequence = static_cast<std::int64_t>(sequence_);
  const torch::Tensor ids = torch::empty({rows, sequence + 1}, torch::kInt64);
  std::int64_t* row = ids.data_ptr<std::int64_t>();
  for (const std::uint64_t window : windows) {
    shards_.read(window * sequence_, std::span(row, sequence_ + 1));
    row += sequence_ + 1;
  }
  return {ids.slice(1, 0, sequence), ids.slice(1, 1, sequence + 1), {}, {}};
}

RunText open_text(const TrainConfig& config, const tokenizer::Tokenizer& tokenizer,
                  const Progress& progress, const Notice& notice, bool make) {
  if (config.messages) return open_messages(config, tokenizer, progress, notice, make);
  const std::filesystem::path data = config.out / "data";
  if (make) {
    corpus::make_token_shards(
        data,
        {.train = config.train_text, .held_out = config.held_out_text, .holdout = config.holdout},
        tokenizer, progress);
  }
  const corpus::TokenShards train(data, corpus::Split::kTrain);
  const corpus::TokenShards held_out(data, corpus::Split::kHeldOut);
  const std::uint64_t step = config.tokens_per_step();
  if (train.tokens() <= step) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("the text has {} tokens, expected more than the {} of one step",
                            train.tokens(), step));
  }
  if (held_out.tokens() <= config.sequence) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("the held-out text has {} tokens, expected more than a sequence of {}",
                            held_out.tokens(), config.sequence));
  }
  notify(notice,
         fmt::format("{} tokens of text in {} documents ({:.3f} bytes per token), {} held out",
                     train.tokens(), train.documents(),
                     static_cast<double>(train.text_bytes()) / static_cast<double>(train.tokens()),
                     held_out.tokens()));
  const auto open = [&](corpus::Split split) {
    return std::make_unique<const TextBatches>(data, split, config.sequence);
  };
  return {open(corpus::Split::kTrain), open(corpus::Split::kHeldOut)};
}

}  // namespace tern::train
