// The trainer against a PyTorch program that knows only the papers: first losses and gradients.
//
// tests/golden/train is made by tests/reference/make_train_goldens.py, which never saw this code:
// the same initial weights, tokens and recipe must give the same 20 losses and the same gradients
// in step 1, to 1e-4 of their norms, on one thread in float32.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/base/json.h"
#include "tern/corpus/window_order.h"
#include "tern/formats/safetensors.h"
#include "tern/train/run_folder.h"
#include "tern/train/schedule.h"
#include "tern/train/start_model.h"
#include "tern/train/stepper.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
constexpr double kTolerance = 1e-4;

const fs::path kGoldens = fs::path(TERN_SOURCE_DIR) / "tests/golden/train";

Json read(const fs::path& path) { return parse_json(read_text_file(path), path.string()); }

// A case folder; paths in golden.json are relative to it.
struct Case {
  explicit Case(const std::string& name)
      : folder(kGoldens / name),
        recipe(read(folder / "config.json")),
        golden(read(folder / "golden.json")) {}

  fs::path path(const char* key) const {
    return fs::weakly_canonical(folder / golden.at(key).get<std::string>());
  }

  fs::path folder;
  Json recipe, golden;
};

// The recipe through the trainer's own reader of configs.
TrainConfig config_of(const Case& c) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : c.recipe.items()) {
    if (key == "model.vocab") continue;                       // Comes from the tokenizer.
    if (key == "model.scale" && value.is_number()) continue;  // Too narrow for a config.
    keys.push_back(key + "=" + dump_json(value));
  }
  if (c.golden.contains("start")) keys.push_back("start.model=" + c.path("start").string());
  if (c.golden.contains("teacher")) keys.push_back("distil.teacher=" + c.path("teacher").string());
  for (const char* key : {"tokenizer.path=\"x\"", "data.train=[\"x\"]",
                          "training.precision=\"f32\"", "training.threads=1"}) {
    keys.emplace_back(key);
  }
  keys.push_back("training.out=\"" + testing::TempDir() + "\"");
  const fs::path empty = fs::path(testing::TempDir()) / "golden.toml";
  AtomicFile file(empty);
  file.commit();
  TrainConfig config = load_config(empty, keys);
  if (const Json& scale = c.recipe.at("model.scale"); scale.is_number()) {
    config.scale = ScaleKind::kGroup;
    config.group = scale.get<std::size_t>();
  }
  if (c.golden.contains("start")) {
    take_shape(config, c.path("start"));
  } else {
    config.model.vocab = c.recipe.at("model.vocab").get<std::size_t>();
  }
  return config;
}

void load_first_weights(const Case& c, const TrainConfig& config, Transformer& model) {
  if (c.golden.contains("start")) {
    load_folder_weights(c.path("start"), model, config.start.sub_norms);
  } else {
    load_weights(c.path("initial"), model);
  }
}

// The case's windows of text, or of packed conversations.
class Data {
 public:
  Data(const Case& c, const TrainConfig& config)
      : sequence_(static_cast<std::int64_t>(config.sequence)) {
    if (c.golden.contains("windows")) {
      const Json all = read(c.path("windows"));
      whole_ = {table(all.at("tokens"), torch::kInt64), table(all.at("targets"), torch::kInt64),
                table(all.at("weights"), torch::kFloat32),
                table(all.at("segments"), torch::kInt64)};
    } else {
      const auto ids = read(c.path("tokens")).get<std::vector<std::int64_t>>();
      const torch::Tensor stream = torch::tensor(ids);
      const auto windows = (stream.size(0) - 1) / sequence_;
      const auto cut = [&](std::int64_t first) {
        return stream.slice(0, first, first + windows * sequence_).view({windows, sequence_});
      };
      whole_ = {cut(0), cut(1), {}, {}};
    }
  }

  std::uint64_t windows() const { return static_cast<std::uint64_t>(whole_.tokens.size(0)); }

  Batch read_windows(const std::vector<std::int64_t>& windows) const {
    const torch::Tensor rows = torch::tensor(windows);
    const auto pick = [&](const torch::Tensor& of) {
      return of.defined() ? of.index_select(0, rows) : of;
    };
    return {pick(whole_.tokens), pick(whole_.targets), pick(whole_.weights), pick(whole_.segments)};
  }

 private:
  torch::Tensor table(const Json& rows, torch::Dtype type) const {
    std::vector<double> flat;
    for (const Json& row : rows) {
      for (const Json& value : row) flat.push_back(value.get<double>());
    }
    return torch::tensor(flat, torch::kFloat64).view({-1, sequence_}).to(type);
  }

  std::int64_t sequence_;
  Batch whole_;  // All windows as one batch.
};

double relative_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

void expect_gradients(const fs::path& file, Transformer& model) {
  const formats::SafetensorsFile gradients(file);
  std::size_t compared = 0;
  for (const auto& p : model->named_parameters()) {
    const TensorView* view = gradients.tensor(p.key());
    ASSERT_NE(view, nullptr) << p.key();
    ASSERT_EQ(view->bytes.size(), p.value().nbytes()) << p.key();
    torch::Tensor expected = torch::empty_like(p.value().detach());
    std::memcpy(expected.data_ptr(), view->bytes.data(), view->bytes.size());
    EXPECT_LE(relative_difference(p.value().grad(), expected), kTolerance)
        << p.key() << " in " << file;
    ++compared;
  }
  EXPECT_EQ(compared, gradients.tensors().size());
}

void expect_near(double found, const Json& expected, const char* what, std::size_t step) {
  const auto value = expected.at(step).get<double>();
  EXPECT_NEAR(found, value, kTolerance * std::abs(value)) << what << " of step " << step + 1;
}

void expect_loss(const LossTerms& found, const Case& c, const DistilConfig& distil,
                 std::size_t step) {
  expect_near(found.total, c.golden.at("losses"), "loss", step);
  if (!c.golden.contains("terms")) return;
  const Json& terms = c.golden.at("terms");
  // A term of weight 0 need not be computed.
  if (distil.text > 0) expect_near(found.text, terms.at("text"), "text", step);
  if (distil.logits > 0) expect_near(found.logits, terms.at("logits"), "logits", step);
  if (distil.attention > 0) expect_near(found.attention, terms.at("attention"), "attention", step);
}

void expect_golden(const Case& c, Products products) {
  torch::set_num_threads(1);
  TrainConfig config = config_of(c);
  config.products = products;
  Stepper stepper(config);
  load_first_weights(c, config, stepper.model());
  const Data data(c, config);
  corpus::WindowOrder order(data.windows(), config.seed);
  ASSERT_EQ(c.golden.at("losses").size(), 20u);
  std::uint64_t position = 0;
  for (std::size_t step = 0; step < 20; ++step) {
    const double progress =
        static_cast<double>(position * config.sequence) / static_cast<double>(config.tokens);
    std::vector<Batch> batches;
    StepTotals totals;
    for (std::size_t i = 0; i < config.accumulate; ++i) {
      std::vector<std::int64_t> windows;
      for (std::size_t r = 0; r < config.batch; ++r) {
        windows.push_back(static_cast<std::int64_t>(order.window(position++)));
      }
      batches.push_back(data.read_windows(windows));
      totals.targets += batches.back().targets_counted();
      totals.windows += static_cast<double>(config.batch);
    }
    const double share = quantization_share(config.warmup, step);
    if (c.golden.contains("shares")) expect_near(share, c.golden.at("shares"), "share", step);
    stepper.model()->set_lambda(share);
    LossTerms loss;
    for (const Batch& batch : batches) loss += stepper.accumulate(batch, totals);
    expect_loss(loss, c, config.distil, step);
    if (step == 0) expect_gradients(c.path("gradients"), stepper.model());
    if (c.golden.value("later_step", std::size_t{0}) == step + 1) {
      expect_gradients(c.path("later_gradients"), stepper.model());
    }
    expect_near(stepper.clip(), c.golden.at("grad_norms"), "gradient norm", step);
    stepper.apply(rates(config.schedule, step, progress));
  }
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, LossesAndGradientsAgreeWithPyTorch) {
  expect_golden(Case(GetParam()), Products::kTern);
}

TEST_P(Golden, SoDoTheLayersOneByOne) { expect_golden(Case(GetParam()), Products::kLibtorch); }

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGoldens)) {
    if (fs::exists(entry.path() / "golden.json")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(AllCases, Golden, testing::ValuesIn(golden_names()), [](const auto& test) {
  std::string name = test.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

}  // namespace
}  // namespace tern::train
