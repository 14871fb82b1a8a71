// Models with an adapter: the addend against double arithmetic, the same bits everywhere, and what
// it costs.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>

#include "tern/base/json.h"
#include "tern/base/system.h"
#include "tern/formats/safetensors.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"
#include "tern/model/trace.h"

namespace tern::model {
namespace {

namespace fs = std::filesystem;
using arch::TensorRole;
using checkpoint::LoraAdapter;

constexpr std::size_t kRank = 5;  // No multiple of a vector's lanes.
constexpr double kScale = 7.0 / 5;

// Random halves for every linear layer of `config` whose name is among `targets`.
std::shared_ptr<const LoraAdapter> make_adapter(const arch::ModelConfig& config,
                                                const std::vector<std::string>& targets) {
  const fs::path folder =
      fs::path(testing::TempDir()) / ("tern_lora_model_" + std::to_string(process_id()));
  fs::create_directories(folder);
  std::mt19937 random(3);
  std::normal_distribution<float> draw(0, 0.05f);
  formats::SafetensorsWriter writer;
  const auto add = [&](const std::string& name, std::size_t rows, std::size_t cols) {
    std::vector<std::byte> bytes(rows * cols * sizeof(float));
    for (std::size_t i = 0; i < rows * cols; ++i) {
      const float value = draw(random);
      std::memcpy(bytes.data() + i * sizeof(float), &value, sizeof(float));
    }
    writer.add_tensor(name, DType::kF32, {rows, cols}, [bytes] { return bytes; });
  };
  for (const arch::TensorSpec& spec : arch::architecture(config.arch).tensors) {
    if (!spec.linear) continue;
    for (std::size_t layer = 0; layer < config.layers; ++layer) {
      std::string module = arch::tensor_name(spec.hf, layer);
      module.resize(module.rfind('.'));
      const std::string last = module.substr(module.rfind('.') + 1);
      if (std::ranges::find(targets, last) == targets.end()) continue;
      const auto shape = arch::tensor_shape(spec.shape, config);
      add("base_model.model." + module + ".lora_A.weight", kRank, shape[1]);
      add("base_model.model." + module + ".lora_B.weight", shape[0], kRank);
    }
  }
  writer.write(folder / "adapter_model.safetensors");
  write_json(
      folder / "adapter_config.json",
      Json{{"peft_type", "LORA"}, {"r", kRank}, {"lora_alpha", 7}, {"target_modules", targets}});
  auto adapter = std::make_shared<const LoraAdapter>(folder, config);
  fs::remove_all(folder);
  return adapter;
}

const std::vector<std::string> kAll{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                    "gate_proj", "up_proj", "down_proj"};

// Every row that was shown, by name.
struct Shown final : Trace {
  void rows(const std::string& name, DType type, const void* data, std::size_t rows,
            std::size_t cols, std::size_t stride) override {
    if (type != DType::kF32) return;
    const auto* from = static_cast<const float*>(data);
    for (std::size_t t = 0; t < rows; ++t) {
      values[name].insert(values[name].end(), from + t * stride, from + t * stride + cols);
    }
  }
  std::map<std::string, std::vector<float>> values;
};

class Lora : public testing::TestWithParam<const char*> {
 protected:
  Lora()
      : checkpoint_(checkpoint::open_checkpoint(fs::path(TERN_GOLDEN_DIR) / GetParam(), {}, false)),
        adapter_(make_adapter(checkpoint_->config(), kAll)) {
    for (std::uint32_t i = 0; i < 40; ++i) {
      tokens_.push_back(i * i * 7 % static_cast<std::uint32_t>(checkpoint_->config().vocab));
    }
  }

  std::vector<float> logits(const char* isa, std::size_t threads, std::size_t batch,
                            std::shared_ptr<const LoraAdapter> adapter, Trace* trace = nullptr) {
    ThreadPool pool(threads);
    const Model model(checkpoint_, kernels::choose_table(isa), tokens_.size(), pool, {},
                      TernaryLayout::kFivePerByte, std::move(adapter));
    KvPool cache(model.config(), tokens_.size(), kernels::KvType::kF32, kernels::KvType::kF32);
    Session session(cache);
    Forward forward(model, pool, batch);
    std::vector<float> all;
    for (std::size_t at = 0; at < tokens_.size(); at += batch) {
      const std::size_t count = std::min(batch, tokens_.size() - at);
      const auto hidden =
          forward.run({{&session, std::span(tokens_).subspan(at, count), 0}}, trace);
      std::vector<float> part(count * model.config().vocab);
      Head(model).logits(hidden, part, pool);
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  std::shared_ptr<const checkpoint::Checkpoint> checkpoint_;
  std::shared_ptr<const LoraAdapter> adapter_;
  std::vector<std::uint32_t> tokens_;
};

// The first layer's inputs are the same with and without the adapter, so its q, k and v differ by
// the addend alone: (x A^T) B^T of the float input.
TEST_P(Lora, AddendIsThatOfTheFloatInput) {
  Shown plain, with;
  logits("", 1, tokens_.size(), nullptr, &plain);
  logits("", 1, tokens_.size(), adapter_, &with);
  const std::vector<float>& x = plain.values["layers.0.attn_norm"];
  ASSERT_EQ(x, with.values["layers.0.attn_norm"]);
  const std::size_t width = checkpoint_->config().hidden;
  for (const auto& [name, role] : {std::pair<std::string, TensorRole>{"q", TensorRole::kQ},
                                   {"k", TensorRole::kK},
                                   {"v", TensorRole::kV}}) {
    const checkpoint::LowRank& pair = *adapter_->find(role, 0);
    const auto a = pair.a.owned.as<float>(), b = pair.b.owned.as<float>();
    const std::vector<float>&before = plain.values["layers.0." + name],
          &after = with.values["layers.0." + name];
    const std::size_t rows = pair.b.rows;
    ASSERT_EQ(after.size(), tokens_.size() * rows);
    for (std::size_t t = 0; t < tokens_.size(); ++t) {
      std::vector<double> low(kRank, 0);
      for (std::size_t k = 0; k < kRank; ++k) {
        for (std::size_t c = 0; c < width; ++c) {
          low[k] += static_cast<double>(a[k * width + c]) * static_cast<double>(x[t * width + c]);
        }
      }
      for (std::size_t r = 0; r < rows; ++r) {
        double sum = static_cast<double>(before[t * rows + r]);
        for (std::size_t k = 0; k < kRank; ++k)
          sum += static_cast<double>(b[r * kRank + k]) * low[k];
        ASSERT_NEAR(static_cast<double>(after[t * rows + r]), sum, 1e-5 * (1 + std::abs(sum)))
            << name << " token " << t << " row " << r;
      }
    }
  }
  // B holds the scale: its numbers are those of the file times alpha / r.
  const auto file = make_adapter(checkpoint_->config(), {"q_proj"});
  EXPECT_NEAR(file->description().scale(), kScale, 1e-12);
}

TEST_P(Lora, SameBitsWhateverTheTableThreadsAndBatch) {
  const std::vector<float> reference = logits("scalar", 1, tokens_.size(), adapter_);
  EXPECT_NE(reference, logits("scalar", 1, tokens_.size(), nullptr));
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if (!kernels::table_supported(*table)) continue;
    const std::string name(kernels::table_name(*table));
    for (const std::size_t batch : {tokens_.size(), std::size_t{1}, std::size_t{7}}) {
      for (const std::size_t threads : {1u, 3u}) {
        const std::vector<float> found = logits(name.c_str(), threads, batch, adapter_);
        EXPECT_EQ(std::memcmp(found.data(), reference.data(), found.size() * 4), 0)
            << name << ", " << threads << " threads, batch " << batch;
      }
    }
  }
}

TEST_P(Lora, NeighboursInABatchChangeNothing) {
  ThreadPool pool(2);
  const Model model(checkpoint_, kernels::choose_table(""), tokens_.size(), pool, {},
                    TernaryLayout::kFivePerByte, adapter_);
  KvPool cache(model.config(), 4 * tokens_.size() + 512, kernels::KvType::kF32,
               kernels::KvType::kF32);
  const std::span<const std::uint32_t> text(tokens_);
  const std::vector<float> alone = logits("", 1, tokens_.size(), adapter_);
  Session a(cache), b(cache);
  Forward forward(model, pool, 2 * tokens_.size());
  forward.run({{&b, text.subspan(0, 5), 5}});
  const auto hidden = forward.run({{&a, text.subspan(0, 20), 19}, {&b, text.subspan(5, 3), 2}});
  const std::size_t vocab = model.config().vocab;
  std::vector<float> together(2 * vocab);
  Head(model).logits(hidden, together, pool);
  EXPECT_EQ(std::memcmp(together.data(), alone.data() + 19 * vocab, vocab * 4), 0);
  EXPECT_EQ(std::memcmp(together.data() + vocab, alone.data() + 7 * vocab, vocab * 4), 0);
}

TEST_P(Lora, ProfileCountsTheAddends) {
  ThreadPool pool(1);
  const auto some = make_adapter(checkpoint_->config(), {"v_proj", "down_proj"});
  const auto sums = [&](std::shared_ptr<const LoraAdapter> adapter) {
    const Model model(checkpoint_, kernels::choose_table(""), 8, pool, {},
                      TernaryLayout::kFivePerByte, std::move(adapter));
    KvPool cache(model.config(), 8, kernels::KvType::kF32, kernels::KvType::kF32);
    Session session(cache);
    Forward forward(model, pool, 8);
    Profile profile;
    forward.run({{&session, std::span(tokens_).first(8), 8}}, nullptr, &profile);
    std::pair<std::uint64_t, std::uint64_t> sum;
    for (const Op op : {Op::kQkv, Op::kO, Op::kGateUp, Op::kDown}) {
      sum.first += profile.cost(op).bytes;
      sum.second += profile.cost(op).macs;
    }
    return std::pair{sum, model.bytes_per_token()};
  };
  const auto [plain, plain_bytes] = sums(nullptr);
  const auto [with, with_bytes] = sums(some);
  const arch::ModelConfig& c = checkpoint_->config();
  const std::size_t numbers = c.layers * kRank * (c.hidden + c.kv_width() + c.ffn + c.hidden);
  EXPECT_EQ(with.first - plain.first, numbers * sizeof(float));
  EXPECT_EQ(with.second - plain.second, 8 * numbers);
  EXPECT_EQ(with_bytes - plain_bytes, numbers * sizeof(float));
}

INSTANTIATE_TEST_SUITE_P(Models, Lora,
                         testing::Values("bitnet2b4t_packed", "bitnet_1bitllm", "qwen3_fp"));

}  // namespace
}  // namespace tern::model
