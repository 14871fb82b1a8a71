// Adapters against a PyTorch program that knows only their definition, and that nothing else moves.
//
// tests/golden/lora is made by tests/reference/lora_reference.py, which never saw this code: the
// same base, first A and B, tokens and recipe must give the same 20 losses and the same gradients
// of A and B in step 1, to 1e-4 of their norms, on one thread in float32.
#include "tern/train/lora.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/corpus/window_order.h"
#include "tern/formats/safetensors.h"
#include "tern/train/run_folder.h"
#include "tern/train/start_model.h"
#include "tern/train/stepper.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
using torch::Tensor;
constexpr double kTolerance = 1e-4;

const fs::path kGoldens = fs::path(TERN_SOURCE_DIR) / "tests/golden/lora";

Json read(const fs::path& path) { return parse_json(read_text_file(path), path.string()); }

TrainConfig config_of(const Json& recipe) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : recipe.items()) {
    const bool later = key == "model.vocab" || key.starts_with("lora.");
    if (!later) keys.push_back(key + "=" + dump_json(value));
  }
  for (const char* key :
       {"tokenizer.path=\"x\"", "data.train=[\"x\"]", "training.precision=\"f32\"",
        "training.threads=1", "training.out=\"x\""}) {
    keys.emplace_back(key);
  }
  const fs::path empty = fs::path(testing::TempDir()) / "lora_golden.toml";
  AtomicFile file(empty);
  file.commit();
  TrainConfig config = load_config(empty, keys);
  config.model.vocab = recipe.at("model.vocab").get<std::size_t>();
  config.lora.rank = recipe.at("lora.rank").get<std::size_t>();
  config.lora.alpha = recipe.at("lora.alpha").get<double>();
  config.lora.targets = recipe.at("lora.targets").get<std::vector<std::string>>();
  return config;
}

Tensor tensor_of(const formats::SafetensorsFile& file, const std::string& name,
                 const Tensor& like) {
  const TensorView* view = file.tensor(name);
  EXPECT_NE(view, nullptr) << name;
  Tensor out = torch::empty_like(like.detach());
  EXPECT_EQ(view->bytes.size(), out.nbytes()) << name;
  std::memcpy(out.data_ptr(), view->bytes.data(), out.nbytes());
  return out;
}

// The step's micro-batches out of a stream of tokens.
class Batches20 {
 public:
  Batches20(std::vector<std::int64_t> tokens, const TrainConfig& config)
      : tokens_(std::move(tokens)),
        config_(config),
        order_((tokens_.size() - 1) / config.sequence, config.seed) {}

  double progress() const {
    return static_cast<double>(position_ * config_.sequence) / static_cast<double>(config_.tokens);
  }
  Batch next() {
    const auto sequence = static_cast<std::int64_t>(config_.sequence);
    std::vector<std::int64_t> ids;
    for (std::size_t r = 0; r < config_.batch; ++r) {
      const auto first = static_cast<std::ptrdiff_t>(order_.window(position_++) * config_.sequence);
      ids.insert(ids.end(), tokens_.begin() + first, tokens_.begin() + first + sequence + 1);
    }
    const Tensor batch =
        torch::tensor(ids).view({static_cast<std::int64_t>(config_.batch), sequence + 1});
    return {batch.slice(1, 0, sequence), batch.slice(1, 1, sequence + 1), {}, {}};
  }

 private:
  std::vector<std::int64_t> tokens_;
  const TrainConfig& config_;
  corpus::WindowOrder order_;
  std::uint64_t position_ = 0;
};

// Everything besides the adapters, copied.
std::map<std::string, Tensor> base_of(Transformer& model) {
  std::map<std::string, Tensor> base;
  for (const auto& p : model->named_parameters()) {
    if (!is_adapter_parameter(p.key())) base[p.key()] = p.value().detach().clone();
  }
  return base;
}

double relative_difference(const Tensor& a, const Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

class LoraGolden : public testing::TestWithParam<std::tuple<const char*, Products>> {};

TEST_P(LoraGolden, LossesAndGradientsAgreeWithPyTorch) {
  const auto [name, products] = GetParam();
  torch::set_num_threads(1);
  const fs::path folder = kGoldens / name;
  const Json golden = read(folder / "golden.json");
  TrainConfig config = config_of(read(folder / "config.json"));
  config.products = products;
  Stepper stepper(config);
  load_weights(folder / golden.at("initial").get<std::string>(), stepper.model());
  const formats::SafetensorsFile first(folder / "adapter.safetensors");
  const formats::SafetensorsFile gradients(folder / "gradients.safetensors");
  {
    const torch::NoGradGuard no_grad;
    for (const auto& p : stepper.model()->named_parameters()) {
      if (!is_adapter_parameter(p.key())) continue;
      p.value().copy_(tensor_of(first, peft_name(p.key()), p.value()));
    }
  }
  const auto base = base_of(stepper.model());
  const std::uint64_t hash = weights_hash(stepper.model());
  Batches20 batches(
      read(folder / golden.at("tokens").get<std::string>()).get<std::vector<std::int64_t>>(),
      config);
  const auto losses = golden.at("losses").get<std::vector<double>>();
  const auto norms = golden.at("grad_norms").get<std::vector<double>>();
  ASSERT_EQ(losses.size(), 20u);
  const auto windows = static_cast<double>(config.batch * config.accumulate);
  const StepTotals totals{windows * static_cast<double>(config.sequence), windows};
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const double progress = batches.progress();
    double loss = 0;
    for (std::size_t i = 0; i < config.accumulate; ++i) {
      loss += stepper.accumulate(batches.next(), totals).total;
    }
    EXPECT_NEAR(loss, losses[step], kTolerance * losses[step]) << "step " << step + 1;
    std::size_t compared = 0;
    for (const auto& p : stepper.model()->named_parameters()) {
      if (!is_adapter_parameter(p.key())) {
        EXPECT_FALSE(p.value().grad().defined()) << p.key();
      } else if (step == 0) {
        const Tensor want = tensor_of(gradients, peft_name(p.key()), p.value());
        EXPECT_GT(want.norm().item<double>(), 0) << p.key();
        EXPECT_LE(relative_difference(p.value().grad(), want), kTolerance) << p.key();
        ++compared;
      }
    }
    if (step == 0) {
      EXPECT_EQ(compared, gradients.tensors().size());
    }
    EXPECT_NEAR(stepper.clip(), norms[step], kTolerance * norms[step]) << "step " << step + 1;
    stepper.apply(rates(config.schedule, step, progress));
  }

  // The base is what it was, to the bit, and AdamW has moments of the adapters alone.
  for (const auto& p : stepper.model()->named_parameters()) {
    if (is_adapter_parameter(p.key())) continue;
    EXPECT_EQ(std::memcmp(p.value().data_ptr(), base.at(p.key()).data_ptr(), p.value().nbytes()), 0)
        << p.key();
  }
  EXPECT_EQ(weights_hash(stepper.model()), hash);
  EXPECT_EQ(stepper.optimizer().slots().size(), gradients.tensors().size());
}

INSTANTIATE_TEST_SUITE_P(AllCases, LoraGolden,
                         testing::Combine(testing::Values("ternary", "ternary-some", "fp",
                                                          "fp-some"),
                                          testing::Values(Products::kTern, Products::kLibtorch)),
                         [](const auto& test) {
                           std::string name = std::get<0>(test.param);
                           std::ranges::replace(name, '-', '_');
                           return name + (std::get<1>(test.param) == Products::kTern ? "_tern"
                                                                                     : "_libtorch");
                         });

TrainConfig small_config(WeightKind kind) {
  TrainConfig config;
  arch::ModelConfig& m = config.model;
  m.arch = arch::ArchitectureId::kLlama;
  m.hidden = 64;
  m.ffn = 96;
  m.layers = 2;
  m.heads = 4;
  m.kv_heads = 2;
  m.head_dim = 16;
  m.vocab = 50;
  m.context = 32;
  config.weights = kind;
  config.precision = Precision::kFloat32;
  config.start.model = "x";
  return config;
}

TEST(Lora, AddsNothingAtFirstAndDrawsAsPeftDoes) {
  TrainConfig config = small_config(WeightKind::kTernary);
  Stepper plain(config);
  config.lora.rank = 8;
  config.lora.targets = {"q_proj", "down_proj"};
  Stepper with(config);  // The same seed: the same base.
  const Tensor tokens = torch::randint(50, {2, 9}, torch::kInt64);
  EXPECT_TRUE(torch::equal(plain.model()(tokens), with.model()(tokens)));
  std::size_t found = 0;
  for (auto& [name, layer] : with.model()->bit_linears()) {
    EXPECT_FALSE(layer->weight.requires_grad());
    const bool target = name.ends_with("q_proj") || name.ends_with("down_proj");
    EXPECT_EQ(!layer->lora_a, !target) << name;
    if (!target) continue;
    ++found;
    EXPECT_EQ(layer->lora_b->weight.abs().max().item<float>(), 0);
    EXPECT_EQ(layer->lora_a->weight.sizes(), (torch::IntArrayRef{8, layer->weight.size(1)}));
    // Uniform up to 1 / sqrt(in): the largest of 8 * in comes close, none exceeds it.
    const double bound = 1 / std::sqrt(static_cast<double>(layer->weight.size(1)));
    const double most = layer->lora_a->weight.abs().max().item<double>();
    EXPECT_LE(most, bound);
    EXPECT_GT(most, 0.97 * bound);
    EXPECT_NEAR(layer->lora_a->weight.std().item<double>(), bound / std::sqrt(3.0), 0.06 * bound);
  }
  EXPECT_EQ(found, 4u);
}

TEST(Lora, ProductsAreOfTheRunsType) {
  BitLinear layer(BitLinearOptions(32, 16).product_type(torch::kBFloat16));
  layer->add_adapter(4, 2.0);
  const torch::NoGradGuard no_grad;
  layer->lora_b->weight.normal_();
  const Tensor x = torch::randn({3, 32});
  const auto rounded = [](const Tensor& t) { return t.to(torch::kBFloat16); };
  const Tensor low = torch::mm(rounded(x), rounded(layer->lora_a->weight).t());
  const Tensor added = torch::mm(low, rounded(layer->lora_b->weight).t()).to(torch::kFloat32);
  const Tensor base =
      quantized_linear(x, layer->weight, layer->options.format(), 1, torch::kBFloat16);
  EXPECT_TRUE(torch::equal(layer(x), base + 2.0 * added));
}

TEST(Lora, ClonesHaveTheirOwnAdapter) {
  BitLinear layer(BitLinearOptions(8, 6));
  layer->add_adapter(2, 0.5);
  {
    const torch::NoGradGuard no_grad;
    layer->lora_b->weight.normal_();
  }
  const auto copy = std::dynamic_pointer_cast<BitLinearImpl>(layer->clone());
  const Tensor x = torch::randn({3, 8});
  EXPECT_TRUE(torch::equal(layer(x), copy->forward(x)));
  const torch::NoGradGuard no_grad;
  copy->lora_b->weight.zero_();
  EXPECT_FALSE(torch::equal(layer(x), copy->forward(x)));
}

TEST(Lora, HashSeesEveryWeightButTheAdapters) {
  TrainConfig config = small_config(WeightKind::kFullPrecision);
  config.lora.rank = 2;
  Stepper stepper(config);
  const std::uint64_t hash = weights_hash(stepper.model());
  const torch::NoGradGuard no_grad;
  for (const auto& p : stepper.model()->named_parameters()) {
    Tensor last = p.value().view({-1}).slice(0, p.value().numel() - 1);
    const Tensor before = last.clone();
    last.add_(1e-3);
    EXPECT_EQ(weights_hash(stepper.model()) == hash, is_adapter_parameter(p.key())) << p.key();
    last.copy_(before);
  }
  EXPECT_EQ(weights_hash(stepper.model()), hash);
}

std::string sentence(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Lora, DigitsWithoutTheFloatsBehindThemAreRefused) {
  Stepper stepper(small_config(WeightKind::kTernary));
  const auto call = [&] { refuse_digits(stepper.model(), "folder"); };
  EXPECT_EQ(sentence(call), "");
  const torch::NoGradGuard no_grad;
  Tensor weight = stepper.model()->bit_linears()[3].second->weight;
  weight.zero_();
  EXPECT_EQ(sentence(call), "");  // Nothing at all is the same, however it is multiplied.
  weight.view({-1}).slice(0, 0, 20).fill_(-0.25);
  weight.view({-1}).slice(0, 30, 50).fill_(0.25);
  const std::string what = sentence(call);
  EXPECT_NE(what.find("folder: layer 'model.layers.0.self_attn.o_proj' holds only -s, 0 and +s"),
            std::string::npos)
      << what;
}

TEST(Lora, ConfigsThatChangeTheBaseAreRefused) {
  TrainConfig config = small_config(WeightKind::kTernary);
  config.start.sub_norms = true;
  EXPECT_EQ(sentence([&] { check_adapters(config); }), "");
  config.lora.rank = 2;
  EXPECT_NE(
      sentence([&] { check_adapters(config); }).find("start.sub_norms found beside lora.rank"),
      std::string::npos);
  config.start.sub_norms = false;
  config.warmup.kind = WarmupKind::kLinear;
  EXPECT_NE(
      sentence([&] { check_adapters(config); }).find("quantization.warmup found beside lora.rank"),
      std::string::npos);
}

}  // namespace
}  // namespace tern::train
