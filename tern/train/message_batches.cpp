// Windows of packed examples.
#include "tern/train/message_batches.h"

#include <fmt/core.h>

#include <vector>

#include "tern/base/error.h"
#include "tern/checkpoint/checkpoint.h"

namespace tern::train {
namespace {

// Rows of a batch that are being filled.
struct Row {
  std::int64_t* tokens;
  std::int64_t* targets;
  float* weights;
  std::int64_t* segments;
};

void tell_cuts(const corpus::Packing& packing, std::size_t sequence, const char* which,
               const Notice& notice) {
  if (packing.cut() == 0) return;
  notify(notice,
         fmt::format("{} {} examples are longer than the {} tokens of training.sequence and "
                     "were cut at their ends; {} of them had no word of the assistant's "
                     "left and were left out",
                     packing.cut(), which, sequence, packing.left_out()));
}

std::int64_t padding_token(const tokenizer::TokenizerData& data) noexcept {
  return data.pad ? *data.pad : data.eos.value_or(0);
}

}  // namespace

MessageBatches::MessageBatches(const std::filesystem::path& folder, corpus::Split split,
                               std::size_t sequence, std::int64_t padding)
    : shards_(folder, split), sequence_(sequence), padding_(padding), packing_(shards_, sequence) {}

Batch MessageBatches::read(std::span<const std::uint64_t> windows) const {
  const std::vector<std::int64_t> shape{static_cast<std::int64_t>(windows.size()),
                                        static_cast<std::int64_t>(sequence_)};
  Batch batch{torch::full(shape, padding_, torch::kInt64),
              torch::full(shape, padding_, torch::kInt64), torch::zeros(shape, torch::kFloat32),
              torch::full(shape, -1, torch::kInt64)};
  Row row{batch.tokens.data_ptr<std::int64_t>(), batch.targets.data_ptr<std::int64_t>(),
          batch.weights.data_ptr<float>(), batch.segments.data_ptr<std::int64_t>()};
  std::vector<std::int64_t> ids;
  std::size_t at = 0;
  for (std::size_t r = 0; r < windows.size(); ++r) {
    at = r * sequence_;
    std::int64_t segment = 0;
    for (const corpus::Packing::Part& part : packing_.window(windows[r])) {
      ids.resize(std::size_t{part.pairs} + 1);
      shards_.read(part.begin, ids);
      for (std::size_t i = 0; i < part.pairs; ++i, ++at) {
        row.tokens[at] = ids[i];
        row.targets[at] = ids[i + 1];
        row.weights[at] = shards_.is_target(part.begin + i + 1) ? 1.0F : 0.0F;
        row.segments[at] = segment;
      }
      ++segment;
    }
  }
  return batch;
}

RunText open_messages(const TrainConfig& config, const tokenizer::Tokenizer& tokenizer,
                      const Progress& progress, const Notice& notice, bool make) {
  const std::string chat_template = checkpoint::open_chat_template(config.tokenizer);
  if (chat_template.empty()) {
    throw Error(ErrorCode::kUnsupported,
                config.tokenizer.string() +
                    ": no chat template found, expected one to write conversations with "
                    "(chat_template.jinja, or in tokenizer_config.json)");
  }
  const std::filesystem::path data = config.out / "data";
  if (make) {
    corpus::make_conversation_shards(
        data,
        {.train = config.train_text, .held_out = config.held_out_text, .holdout = config.holdout},
        tokenizer, chat_template, config.tokenizer.string(), progress, notice);
  }
  const auto open = [&](corpus::Split split) {
    return std::make_unique<const MessageBatches>(data, split, config.sequence,
                                                  padding_token(tokenizer.data()));
  };
  auto train = open(corpus::Split::kTrain);
  auto held_out = open(corpus::Split::kHeldOut);
  tell_cuts(train->packing(), config.sequence, "training", notice);
  tell_cuts(held_out->packing(), config.sequence, "held-out", notice);
  const std::uint64_t step = config.tokens_per_step() / config.sequence;
  if (train->windows() < step) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("the conversations make {} sequences of {} tokens, expected at least "
                            "the {} of one step",
                            train->windows(), config.sequence, step));
  }
  if (held_out->windows() == 0 || held_out->target_bytes() == 0) {
    throw Error(ErrorCode::kBadArgument,
                "the held-out conversations have no words of the assistant's, expected some");
  }
  const double room = static_cast<double>(train->windows() * config.sequence);
  notify(notice,
         fmt::format("{} conversations of {} tokens, of which {} are learnt, in {} sequences that "
                     "are {:.1f} % full; {} held out",
                     train->shards().conversations(), train->shards().tokens(), train->targets(),
                     train->windows(), 100 * static_cast<double>(train->packing().pairs()) / room,
                     held_out->shards().conversations()));
  return {std::move(train), std::move(held_out)};
}

}  // namespace tern::train
