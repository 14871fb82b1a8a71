// The trainer against a PyTorch program that knows only the papers: first losses and gradients.
//
// tests/golden/train is made by tests/reference/train_reference.py, which never saw this code: the
// same initial weights, tokens and recipe must give the same 20 losses and the same gradients in
// step 1, to 1e-4 of their norms, on one thread in float32.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/base/json.h"
#include "tern/corpus/window_order.h"
#include "tern/formats/safetensors.h"
#include "tern/train/run_folder.h"
#include "tern/train/stepper.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;
constexpr double kTolerance = 1e-4;

const fs::path kGoldens = fs::path(TERN_SOURCE_DIR) / "tests/golden/train";

Json read(const fs::path& path) { return parse_json(read_text_file(path), path.string()); }

// The recipe through the trainer's own reader of configs.
TrainConfig config_of(const Json& recipe, const std::string& out) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : recipe.items()) {
    if (key == "model.vocab") continue;                       // Comes from the tokenizer.
    if (key == "model.scale" && value.is_number()) continue;  // Too narrow for a config.
    keys.push_back(key + "=" + dump_json(value));
  }
  for (const char* key : {"tokenizer.path=\"x\"", "data.train=[\"x\"]",
                          "training.precision=\"f32\"", "training.threads=1"}) {
    keys.emplace_back(key);
  }
  keys.push_back("training.out=\"" + out + "\"");
  const fs::path empty = fs::path(testing::TempDir()) / "golden.toml";
  AtomicFile file(empty);
  file.commit();
  TrainConfig config = load_config(empty, keys);
  config.model.vocab = recipe.at("model.vocab").get<std::size_t>();
  if (const Json& scale = recipe.at("model.scale"); scale.is_number()) {
    config.scale = ScaleKind::kGroup;
    config.group = scale.get<std::size_t>();
  }
  return config;
}

double relative_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, LossesAndGradientsAgreeWithPyTorch) {
  torch::set_num_threads(1);
  const fs::path folder = kGoldens / GetParam();
  const Json recipe = read(folder / "config.json");
  const Json golden = read(folder / "golden.json");
  const TrainConfig config = config_of(recipe, testing::TempDir());
  Stepper stepper(config);
  load_weights(folder / golden.at("initial").get<std::string>(), stepper.model());

  const auto tokens =
      read(folder / golden.at("tokens").get<std::string>()).get<std::vector<std::int64_t>>();
  corpus::WindowOrder order((tokens.size() - 1) / config.sequence, config.seed);
  const auto sequence = static_cast<std::int64_t>(config.sequence);
  const auto losses = golden.at("losses").get<std::vector<double>>();
  ASSERT_EQ(losses.size(), 20u);
  std::uint64_t position = 0;
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const double progress =
        static_cast<double>(position * config.sequence) / static_cast<double>(config.tokens);
    double loss = 0;
    const auto windows = static_cast<double>(config.batch * config.accumulate);
    const StepTotals totals{windows * static_cast<double>(sequence), windows};
    for (std::size_t i = 0; i < config.accumulate; ++i) {
      std::vector<std::int64_t> ids;
      for (std::size_t r = 0; r < config.batch; ++r) {
        const auto first = static_cast<std::ptrdiff_t>(order.window(position++) * config.sequence);
        ids.insert(ids.end(), tokens.begin() + first, tokens.begin() + first + sequence + 1);
      }
      const torch::Tensor batch =
          torch::tensor(ids).view({static_cast<std::int64_t>(config.batch), sequence + 1});
      loss +=
          stepper
              .accumulate({batch.slice(1, 0, sequence), batch.slice(1, 1, sequence + 1), {}, {}},
                          totals)
              .total;
    }
    EXPECT_NEAR(loss, losses[step], kTolerance * losses[step]) << "step " << step + 1;
    if (step == 0) {
      const formats::SafetensorsFile gradients(folder / "gradients.safetensors");
      std::size_t compared = 0;
      for (const auto& p : stepper.model()->named_parameters()) {
        const TensorView* view = gradients.tensor(p.key());
        ASSERT_NE(view, nullptr) << p.key();
        ASSERT_EQ(view->bytes.size(), p.value().nbytes()) << p.key();
        torch::Tensor expected = torch::empty_like(p.value().detach());
        std::memcpy(expected.data_ptr(), view->bytes.data(), view->bytes.size());
        EXPECT_LE(relative_difference(p.value().grad(), expected), kTolerance) << p.key();
        ++compared;
      }
      EXPECT_EQ(compared, gradients.tensors().size());
    }
    stepper.clip();
    stepper.apply(rates(config.schedule, step, progress));
  }
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGoldens)) {
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
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
