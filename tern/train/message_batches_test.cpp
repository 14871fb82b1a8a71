// Windows of packed examples: what stands where, and that a model sees each example alone.
#include "tern/train/message_batches.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tern/arch/architecture.h"
#include "tern/corpus/corpus_test_util.h"
#include "tern/train/objective.h"

namespace tern::train {
namespace {

using corpus::test::chat_vocabulary;
using torch::Tensor;

const std::string kTemplate =
    "{% for m in messages %}{{ m.content }}{% if m.role != 'user' %}<|end|>{% endif %}{% endfor %}";

std::string line(const std::vector<std::string>& words) {
  Json messages = Json::array();
  for (std::size_t i = 0; i < words.size(); ++i) {
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", words[i]}});
  }
  return dump_json({{"messages", messages}}) + "\n";
}

class Messages : public corpus::test::TemporaryFolder {
 protected:
  MessageBatches batches(const std::string& lines, std::size_t sequence) const {
    corpus::ShardOptions options;
    options.train = {
        .paths = {write("chat.jsonl", lines)}, .separators = {}, .json_field = "messages"};
    corpus::make_conversation_shards(folder_ / "data", options,
                                     tokenizer::Tokenizer(chat_vocabulary({"<|end|>"})), kTemplate,
                                     "model", {}, {});
    return MessageBatches(folder_ / "data", corpus::Split::kTrain, sequence, 2);
  }
};

template <typename Number>
std::vector<Number> row(const Tensor& t, std::int64_t r) {
  const Tensor whole = t.select(0, r).contiguous();
  const Number* begin = whole.data_ptr<Number>();
  return {begin, begin + whole.numel()};
}

// <|end|> is 262, a 259, b 260; padding 2.
TEST_F(Messages, StandSideBySideInTheirSegments) {
  const MessageBatches text =
      batches(line({"!", "a"}) + line({"a", "!", "b", "?"}) + line({"?", "!!"}), 6);
  ASSERT_EQ(text.windows(), 2u);  // 2 + 3 pairs, and 5 pairs.
  EXPECT_EQ(text.window_tokens(), 6u);
  EXPECT_EQ(text.targets(), 2u + 4u + 3u);
  EXPECT_EQ(text.target_bytes(), 1u + 2u + 2u);
  const std::vector<std::uint64_t> both{1, 0};
  const Batch batch = text.read(both);
  using Ids = std::vector<std::int64_t>;
  using Weights = std::vector<float>;
  const std::int64_t bang = 3 + '!', why = 3 + '?';
  EXPECT_EQ(row<std::int64_t>(batch.tokens, 0), (Ids{259, bang, 262, 260, why, 2}));
  EXPECT_EQ(row<std::int64_t>(batch.targets, 0), (Ids{bang, 262, 260, why, 262, 2}));
  EXPECT_EQ(row<float>(batch.weights, 0), (Weights{1, 1, 0, 1, 1, 0}));
  EXPECT_EQ(row<std::int64_t>(batch.segments, 0), (Ids{0, 0, 0, 0, 0, -1}));
  EXPECT_EQ(row<std::int64_t>(batch.tokens, 1), (Ids{bang, 259, why, bang, bang, 2}));
  EXPECT_EQ(row<std::int64_t>(batch.targets, 1), (Ids{259, 262, bang, bang, 262, 2}));
  EXPECT_EQ(row<float>(batch.weights, 1), (Weights{1, 1, 1, 1, 1, 0}));
  EXPECT_EQ(row<std::int64_t>(batch.segments, 1), (Ids{0, 0, 1, 1, 1, -1}));
  EXPECT_EQ(batch.targets_counted(), 9);
}

TransformerOptions tiny(arch::ArchitectureId id, WeightKind kind) {
  const arch::Architecture& a = arch::architecture(id);
  TransformerOptions o;
  o.config.arch = id;
  o.config.hidden = 32;
  o.config.ffn = 48;
  o.config.layers = 2;
  o.config.heads = 4;
  o.config.kv_heads = 2;
  o.config.head_dim = 8;
  o.config.vocab = 263;
  o.config.context = 64;
  o.config.sub_norms = a.sub_norms;
  o.config.activation = a.gguf_activation;
  o.config.tied_head = true;
  o.format.kind = kind;
  return o;
}

std::string talk() {
  std::string lines;
  for (int i = 0; i < 12; ++i) {
    lines += line({std::string(static_cast<std::size_t>(1 + i % 5), 'a'), std::string("!b"),
                   std::to_string(i * 7) + "?", std::string(static_cast<std::size_t>(i % 4), '.')});
  }
  return lines;
}

// The mean loss of all packed windows, and that of the examples by themselves, each as its own
// forward pass without segments or padding.
struct Losses {
  double packed = 0, alone = 0;
};

Losses losses(Transformer& model, const MessageBatches& text, bool segments) {
  const torch::NoGradGuard no_grad;
  std::vector<std::uint64_t> windows(static_cast<std::size_t>(text.windows()));
  std::iota(windows.begin(), windows.end(), std::uint64_t{0});
  Batch batch = text.read(windows);
  if (!segments) batch.segments = Tensor();
  Losses out;
  out.packed = mean_loss(model, batch).item<double>();
  double sum = 0, targets = 0;
  const corpus::ConversationShards& shards = text.shards();
  for (std::uint64_t e = 0; e < shards.examples(); ++e) {
    std::vector<std::int64_t> ids(static_cast<std::size_t>(shards.end(e) - shards.begin(e)));
    shards.read(shards.begin(e), ids);
    const Tensor all = torch::tensor(ids).unsqueeze(0);
    const auto n = static_cast<std::int64_t>(ids.size()) - 1;
    const Tensor nll = -torch::log_softmax(model(all.slice(1, 0, n)), -1)
                            .gather(2, all.slice(1, 1).unsqueeze(2))
                            .squeeze();
    for (std::int64_t i = 0; i < n; ++i) {
      if (!shards.is_target(shards.begin(e) + static_cast<std::uint64_t>(i) + 1)) continue;
      sum += nll[i].item<double>();
      targets += 1;
    }
  }
  EXPECT_EQ(batch.targets_counted(), targets);
  out.alone = sum / targets;
  return out;
}

TEST_F(Messages, PackingChangesNoLoss) {
  const MessageBatches text = batches(talk(), 40);
  ASSERT_LT(text.windows(), 8u);  // Several examples in a window.
  for (const WeightKind kind : {WeightKind::kFullPrecision, WeightKind::kTernary}) {
    torch::manual_seed(11);
    Transformer model(tiny(arch::ArchitectureId::kBitnetB158, kind), 0.2);
    const Losses seen = losses(model, text, true);
    EXPECT_NEAR(seen.packed, seen.alone, 1e-5 * seen.alone);
    const Losses mixed = losses(model, text, false);
    EXPECT_GT(std::abs(mixed.packed - mixed.alone), 1e-3 * mixed.alone);  // The test bites.
  }
}

TEST_F(Messages, TheOrderOfTheWindowsOfABatchIsTheCallers) {
  const MessageBatches text = batches(talk(), 24);
  const std::vector<std::uint64_t> some{2, 0, 2};
  const Batch batch = text.read(some);
  const std::vector<std::uint64_t> third{2};
  const Batch alone = text.read(third);
  for (const std::int64_t r : {0, 2}) {
    EXPECT_TRUE(torch::equal(batch.tokens.select(0, r), alone.tokens.select(0, 0)));
    EXPECT_TRUE(torch::equal(batch.segments.select(0, r), alone.segments.select(0, 0)));
  }
  EXPECT_FALSE(torch::equal(batch.tokens.select(0, 1), alone.tokens.select(0, 0)));
}

}  // namespace
}  // namespace tern::train
