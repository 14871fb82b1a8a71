// The trainer's own forward pass and the engine, from one checkpoint: the same log-probabilities.
//
// Both compute in float32 but add in different orders, so an activation that lies on a boundary
// between two int8 levels may fall on different sides, and the difference then grows through the
// layers. So the strict comparison takes the tokens whose activations, and those of all tokens
// before them, keep clear of boundaries; the share of all tokens that agree is counted besides.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tern/arch/architecture.h"
#include "tern/base/atomic_file.h"
#include "tern/base/system.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/checkpoint/lora_adapter.h"
#include "tern/engine/sampler.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"
#include "tern/train/lora.h"
#include "tern/train/run_folder.h"
#include "tern/train/stepper.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr double kTolerance = 1e-3;  // Of a log-probability, in nats.
constexpr double kMargin = 2e-4;     // Distance to a boundary, in int8 levels.

// The smallest distance of each token's activations to a rounding boundary, over all layers.
class Margins : public model::Trace {
 public:
  void rows(const std::string& name, DType type, const void* data, std::size_t rows,
            std::size_t cols, std::size_t stride) override {
    const std::string what = name.substr(name.rfind('.') + 1);
    if (type == DType::kI8) {  // Comes right after the operation whose output was quantised.
      const auto& x = *input_;
      smallest_.resize(std::max(smallest_.size(), rows), std::numeric_limits<double>::infinity());
      for (std::size_t t = 0; t < rows; ++t) {
        smallest_[t] = std::min(smallest_[t], of_row(std::span(x).subspan(t * cols, cols)));
      }
    } else if (what == "attn_norm" || what == "attn" || what == "attn_sub_norm" ||
               what == "ffn_norm" || what == "act" || what == "ffn_sub_norm") {
      input_ = std::make_unique<std::vector<float>>();
      const auto* from = static_cast<const float*>(data);
      for (std::size_t t = 0; t < rows; ++t) {
        input_->insert(input_->end(), from + t * stride, from + t * stride + cols);
      }
    }
  }
  const std::vector<double>& smallest() const { return smallest_; }

 private:
  static double of_row(std::span<const float> x) {
    double most = 1e-5;
    for (const float v : x) most = std::max(most, std::fabs(static_cast<double>(v)));
    double margin = std::numeric_limits<double>::infinity();
    for (const float v : x) {
      const double level = static_cast<double>(v) * 127 / most;
      margin = std::min(margin, std::fabs(level - std::floor(level) - 0.5));
    }
    return margin;
  }

  std::unique_ptr<std::vector<float>> input_;
  std::vector<double> smallest_;
};

struct Comparison {
  std::size_t tokens = 0, clear = 0, near = 0;
  double worst_clear = 0;
  double sum = 0, absolute_sum = 0;  // Of engine minus trainer, over all tokens.
};

// Log-probabilities of every next token, engine against trainer; `adapter` is a folder, or none.
Comparison compare(const fs::path& folder, train::Transformer& twin,
                   const std::vector<std::uint32_t>& ids, const fs::path& adapter = {}) {
  ThreadPool pool(1);
  const std::shared_ptr<const checkpoint::Checkpoint> checkpoint =
      checkpoint::open_checkpoint(folder, {});
  const auto lora = adapter.empty() ? nullptr
                                    : std::make_shared<const checkpoint::LoraAdapter>(
                                          adapter, checkpoint->config());
  const model::Model loaded(checkpoint, kernels::table_from_environment(), ids.size(), pool, {},
                            TernaryLayout::kFivePerByte, lora);
  model::KvPool kv(loaded.config(), ids.size(), kernels::KvType::kF32, kernels::KvType::kF32);
  model::Session session(kv);
  model::Forward forward(loaded, pool, ids.size());
  Margins margins;
  const auto hidden =
      forward.run({{.session = &session, .tokens = ids, .wanted_from = 0}}, &margins);
  const std::size_t vocab = loaded.config().vocab;
  std::vector<float> logits(ids.size() * vocab);
  model::Head(loaded).logits(hidden, logits, pool);

  const torch::NoGradGuard no_grad;
  const torch::Tensor input =
      torch::tensor(std::vector<std::int64_t>(ids.begin(), ids.end())).unsqueeze(0);
  const torch::Tensor expected = twin(input).squeeze(0).to(torch::kFloat64).log_softmax(-1);

  Comparison out;
  bool clear = true;
  std::vector<double> log_probs(vocab);
  for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
    engine::log_softmax(std::span(logits).subspan(t * vocab, vocab), log_probs);
    const double* row = expected[static_cast<std::int64_t>(t)].data_ptr<double>();
    const double signed_difference = log_probs[ids[t + 1]] - row[ids[t + 1]];
    const double difference = std::fabs(signed_difference);
    out.sum += signed_difference;
    out.absolute_sum += difference;
    if (!margins.smallest().empty()) clear = clear && margins.smallest()[t] > kMargin;
    ++out.tokens;
    out.near += difference <= kTolerance ? 1 : 0;
    if (!clear) continue;
    ++out.clear;
    out.worst_clear = std::max(out.worst_clear, difference);
  }
  return out;
}

// Bytes as tokens, after <unk>, <s> and </s>.
tokenizer::TokenizerData byte_tokenizer() {
  tokenizer::TokenizerData data;
  data.kind = tokenizer::TokenizerKind::kSpmBpe;
  data.byte_fallback = true;
  const auto add = [&](std::string piece, tokenizer::TokenType type) {
    data.pieces.push_back(std::move(piece));
    data.types.push_back(type);
    data.scores.push_back(0);
  };
  add("<unk>", tokenizer::TokenType::kUnknown);
  add("<s>", tokenizer::TokenType::kControl);
  add("</s>", tokenizer::TokenType::kControl);
  constexpr char kHex[] = "0123456789ABCDEF";
  for (int b = 0; b < 256; ++b) {
    add(std::string("<0x") + kHex[b / 16] + kHex[b % 16] + ">", tokenizer::TokenType::kByte);
  }
  data.unk = 0;
  data.bos = 1;
  data.eos = 2;
  data.end_ids = {2};
  data.add_bos = true;
  return data;
}

struct Case {
  arch::ArchitectureId arch;
  train::WeightKind kind;
  ScaleKind scale;
};

train::TrainConfig config_of(const Case& c) {
  const arch::Architecture& a = arch::architecture(c.arch);
  train::TrainConfig config;
  arch::ModelConfig& m = config.model;
  m.arch = c.arch;
  m.hidden = 128;
  m.ffn = 192;
  m.layers = 2;
  m.heads = 4;
  m.kv_heads = 2;
  m.head_dim = 32;
  m.vocab = 259;
  m.context = 64;
  m.sub_norms = a.sub_norms;
  m.activation = a.gguf_activation;
  m.tied_head = c.arch != arch::ArchitectureId::kLlama;
  config.weights = c.kind;
  config.scale = c.scale;
  config.group = c.scale == ScaleKind::kGroup ? 64 : 0;
  config.precision = train::Precision::kFloat32;
  config.init_std = 0.1;
  config.seed = 11;
  return config;
}

// Strict where activations keep clear of boundaries; returns how many tokens do.
std::size_t compare_texts(const fs::path& folder, train::Transformer& twin,
                          const fs::path& adapter) {
  std::size_t tokens = 0, clear = 0;
  for (std::uint32_t text = 0; text < 120; ++text) {
    // No common first token: one on a boundary would rule out every text.
    std::vector<std::uint32_t> ids;
    std::uint32_t state = 77 + text;
    while (ids.size() < 12) {
      state = state * 1664525u + 1013904223u;
      ids.push_back(3 + (state >> 16) % 256);
    }
    const Comparison c = compare(folder, twin, ids, adapter);
    EXPECT_LE(c.worst_clear, kTolerance) << "text " << text;
    tokens += c.tokens;
    clear += c.clear;
  }
  EXPECT_GE(clear, 100u) << "too few of " << tokens << " tokens keep clear of boundaries";
  return clear;
}

class TrainerAndEngine : public testing::TestWithParam<Case> {};

TEST_P(TrainerAndEngine, GiveTheSameLogProbabilities) {
  torch::set_num_threads(1);
  const fs::path folder =
      fs::path(testing::TempDir()) / ("train_engine_" + std::to_string(process_id()));
  fs::remove_all(folder);
  const train::TrainConfig config = config_of(GetParam());
  train::Stepper stepper(config);
  {  // Norms that matter.
    const torch::NoGradGuard no_grad;
    for (const auto& p : stepper.model()->named_parameters()) {
      if (p.value().dim() == 1) p.value().uniform_(0.5, 1.5);
    }
  }
  train::RunFolder run(folder);
  run.write(config, byte_tokenizer(), stepper, {}, {});

  const std::size_t clear = compare_texts(*run.newest(), stepper.model(), {});
  RecordProperty("clear", static_cast<int>(clear));
  fs::remove_all(folder);
}

// The same with adapters that matter, from the checkpoint of a run that trains them.
TEST_P(TrainerAndEngine, GiveTheSameLogProbabilitiesWithAdapters) {
  torch::set_num_threads(1);
  const fs::path folder =
      fs::path(testing::TempDir()) / ("train_engine_lora_" + std::to_string(process_id()));
  fs::remove_all(folder);
  train::TrainConfig config = config_of(GetParam());
  train::Stepper base(config);
  const train::RunFolder base_run(folder / "base");
  base_run.write(config, byte_tokenizer(), base, {}, {});

  config.start.model = *base_run.newest();
  config.lora.rank = 6;
  config.lora.alpha = 9;
  config.lora.targets = {"q_proj", "v_proj", "o_proj", "up_proj", "down_proj"};
  train::Stepper stepper(config);
  train::load_weights(*base_run.newest() / "model.safetensors", stepper.model());
  {
    const torch::NoGradGuard no_grad;
    for (const auto& p : stepper.model()->named_parameters()) {
      if (train::is_adapter_parameter(p.key())) p.value().normal_(0, 0.1);
    }
  }
  const train::RunFolder run(folder / "adapter");
  run.write(config, byte_tokenizer(), stepper, {}, {});
  EXPECT_FALSE(fs::exists(*run.newest() / "model.safetensors"));
  const std::size_t clear = compare_texts(*base_run.newest(), stepper.model(), *run.newest());
  RecordProperty("clear", static_cast<int>(clear));
  // That the adapters matter.
  EXPECT_GT(compare(*base_run.newest(), stepper.model(), {5, 6, 7, 8}).absolute_sum, 0.03);
  fs::remove_all(folder);
}

std::vector<Case> cases() {
  using enum arch::ArchitectureId;
  using enum train::WeightKind;
  std::vector<Case> all;
  for (const auto id : {kBitnetB158, kBitnet, kLlama}) {
    for (const auto kind : {kTernary, kBinary, kFullPrecision}) {
      all.push_back({id, kind, ScaleKind::kTensor});
    }
    all.push_back({id, kTernary, ScaleKind::kRow});
    all.push_back({id, kTernary, ScaleKind::kGroup});
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, TrainerAndEngine, testing::ValuesIn(cases()), [](const auto& test) {
  std::string name(arch::architecture(test.param.arch).gguf_names.front());
  name += "_" + std::string(train::name(test.param.kind)) + "_";
  name += test.param.scale == ScaleKind::kTensor ? "tensor"
          : test.param.scale == ScaleKind::kRow  ? "row"
                                                 : "group";
  std::replace_if(name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
});

// A trained checkpoint on real text: TERN_CHECKPOINT is its folder, TERN_TEXT a file. The numbers
// are in docs/results/training.md.
TEST(TrainerAndEngineOnRealText, ShareOfTokensThatAgree) {
  const auto folder = environment("TERN_CHECKPOINT");
  const auto file = environment("TERN_TEXT");
  if (!folder || !file) GTEST_SKIP() << "TERN_CHECKPOINT and TERN_TEXT are not set";
  const train::TrainConfig config = [&] {
    auto c =
        train::load_config(fs::path(*folder) / "../../config.toml", {"training.precision=f32"});
    c.model.vocab = checkpoint::open_checkpoint(*folder, {})->config().vocab;
    return c;
  }();
  train::Stepper stepper(config);
  train::load_weights(fs::path(*folder) / "model.safetensors", stepper.model());
  const auto tokenizer =
      checkpoint::make_tokenizer(checkpoint::open_tokenizer(*folder, {}), *folder);
  const auto ids = tokenizer.encode(read_text_file(*file));
  const std::size_t width = config.sequence;
  Comparison all;
  for (std::size_t begin = 0; begin + width <= ids.size() && all.tokens < 20000; begin += width) {
    const Comparison c = compare(*folder, stepper.model(),
                                 {ids.begin() + static_cast<std::ptrdiff_t>(begin),
                                  ids.begin() + static_cast<std::ptrdiff_t>(begin + width)});
    all.tokens += c.tokens;
    all.near += c.near;
    all.clear += c.clear;
    all.worst_clear = std::max(all.worst_clear, c.worst_clear);
    all.sum += c.sum;
    all.absolute_sum += c.absolute_sum;
  }
  ASSERT_GT(all.tokens, 0u);
  const auto tokens = static_cast<double>(all.tokens);
  std::printf(
      "%zu tokens: %.4f of them within 1e-3, mean absolute difference %.2e, difference of "
      "the mean loss %.2e; %zu clear of boundaries, worst %.2e\n",
      all.tokens, static_cast<double>(all.near) / tokens, all.absolute_sum / tokens,
      std::fabs(all.sum) / tokens, all.clear, all.worst_clear);
  EXPECT_LE(all.worst_clear, kTolerance);
  EXPECT_LE(std::fabs(all.sum) / tokens, kTolerance);  // Rounding either way favours nobody.
}

}  // namespace
}  // namespace tern
