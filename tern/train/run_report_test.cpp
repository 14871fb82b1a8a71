// Reports of runs that have ended, have just begun, or are broken.
#include "tern/train/run_report.h"

#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/train/run_log.h"

namespace tern::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStep =
    "{\"kind\":\"step\",\"step\":1,\"tokens\":64,\"loss\":5.25,\"learning_rate\":0.001,"
    "\"weight_decay\":0.1,\"grad_norm\":null,\"tokens_per_second\":100,\"seconds\":0.5,"
    "\"skipped\":false}\n";

class Runs : public testing::Test {
 protected:
  Runs() : folder_(fs::temp_directory_path() / ("tern-runs-" + std::to_string(random_seed()))) {
    fs::create_directory(folder_);
  }
  ~Runs() override { fs::remove_all(folder_); }

  fs::path make(const std::string& name, const std::string& config, const std::string& metrics) {
    fs::create_directories(folder_ / name);
    std::ofstream(folder_ / name / "config.toml") << config;
    std::ofstream(folder_ / name / "metrics.jsonl") << metrics;
    return folder_ / name;
  }
  std::string refusal(const fs::path& run) {
    try {
      run_report(std::vector{run});
    } catch (const Error& e) {
      const std::string what = e.what(), prefix = folder_.string() + "/";
      return what.starts_with(prefix) ? what.substr(prefix.size()) : what;
    }
    return "accepted";
  }
  fs::path folder_;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(Runs, ReadBack) {
  const fs::path run = make(
      "a", "[model]\nweights = \"b1.58\"\n[optimizer]\nepsilon = 1e-8\n",
      std::string(kStep) +
          "{\"kind\":\"held_out\",\"step\":1,\"tokens\":64,\"loss\":5.5,\"bits_per_byte\":2.5,"
          "\"scored\":9}\n"
          "{\"kind\":\"of the future\",\"step\":1}\n"
          "{\"kind\":\"weights\",\"step\":1,\"layers\":[{\"name\":\"model.layers.0.mlp.up_proj\","
          "\"minus\":0.25,\"zero\":0.5,\"plus\":0.25,\"flipped\":0.125}]}\n"
          "{\"kind\":\"sample\",\"step\":1,\"prompt\":\"Once\",\"text\":\" upon\"}\n"
          "{\"kind\":\"step\",\"st");
  const RunLog log = read_run(run);
  ASSERT_EQ(log.steps.size(), 1u);
  EXPECT_EQ(log.steps[0].tokens, 64u);
  EXPECT_EQ(log.steps[0].loss, 5.25);
  EXPECT_TRUE(std::isnan(log.steps[0].grad_norm));
  EXPECT_EQ(log.held_out.at(0).bits_per_byte, 2.5);
  EXPECT_EQ(log.weights.at(0).layers.at(0).flipped, 0.125);
  EXPECT_EQ(log.samples.at(0).prompt, "Once");
  EXPECT_EQ(log.setting("model.weights"), "b1.58");
  EXPECT_EQ(log.setting("optimizer.epsilon"), "1e-8");
  EXPECT_EQ(log.setting("none"), "");
  EXPECT_EQ(log.tokens_at(0), 0);
  EXPECT_EQ(log.tokens_at(7), 64);

  const std::string html = run_report(std::vector{run});
  EXPECT_TRUE(has(html, "<title>Training run a</title>"));
  EXPECT_TRUE(has(html, "<td>Held-out bits per byte</td><td class=\"n\">2.5</td>"));
  EXPECT_TRUE(has(html, "<td>Weights that are 0</td><td class=\"n\">50 %</td>"));
  EXPECT_TRUE(has(html, "0.up_proj: 0: 50 %"));
  EXPECT_TRUE(has(html, "<pre>\nOnce upon</pre>"));
}

TEST_F(Runs, DifferingKeysAreMarked) {
  const fs::path a = make("a", "[model]\nhidden = 64\nweights = \"b1.58\"\n", kStep);
  const fs::path b = make("b", "[model]\nhidden = 64\nweights = \"fp\"\n[more]\nx = 1\n", "");
  const std::string html = run_report(std::vector{a, b});
  EXPECT_TRUE(has(html, "<tr><td>model.hidden</td><td class=\"n\">64</td><td class=\"n\">64</td>"));
  EXPECT_TRUE(
      has(html, "<tr class=\"marked\"><td>model.weights</td><td>b1.58</td><td>fp</td></tr>"));
  EXPECT_TRUE(has(html, "<tr class=\"marked\"><td>more.x</td><td></td><td class=\"n\">1</td>"));
  EXPECT_TRUE(has(html, "b <tspan font-weight=\"600\">\u2013</tspan>"));  // No value yet.
}

TEST_F(Runs, ThatShareANameAreNamedInFull) {
  const fs::path a = make("x/run", "", kStep), b = make("y/run", "", kStep);
  const std::string html = run_report(std::vector{a, b});
  EXPECT_TRUE(has(html, a.string() + "</th>"));
  EXPECT_TRUE(has(html, b.string() + "</th>"));
}

TEST_F(Runs, EmptyOneHasAReport) {
  const fs::path run = make("a", "", "");
  fs::remove(run / "metrics.jsonl");
  EXPECT_TRUE(has(run_report(std::vector{run}), "Nothing to show yet"));
}

TEST_F(Runs, BrokenOnesNameFileAndLine) {
  EXPECT_EQ(refusal(folder_ / "none"),
            "none: no folder found, expected that of a run, with config.toml and metrics.jsonl");
  fs::create_directory(folder_ / "bare");
  EXPECT_TRUE(refusal(folder_ / "bare").starts_with("bare/config.toml: cannot open"));
  EXPECT_TRUE(
      has(refusal(make("a", "", std::string(kStep) + "nonsense\n")), "a/metrics.jsonl: line 2: "));
  EXPECT_EQ(refusal(make("a", "", "{\"kind\":\"held_out\",\"step\":1}\n")),
            "a/metrics.jsonl: line 1: no tokens found, expected a whole number");
  EXPECT_EQ(refusal(make("a", "", "[]\n")),
            "a/metrics.jsonl: line 1: no object found, expected one per line");
  EXPECT_TRUE(has(refusal(make("a", "", "{\"kind\":\"weights\",\"step\":1,\"layers\":3}\n")),
                  "a/metrics.jsonl: line 1: layers"));
  EXPECT_TRUE(has(refusal(make("a", "x = [\n", "")), "a/config.toml: line"));
}

// A loss of 8 - i / 1000 over 4,000 steps, one of which was skipped with a loss of 1,000.
TEST_F(Runs, TrainingLossIsAMeanWithoutSkippedSteps) {
  std::string metrics;
  for (int i = 1; i <= 4000; ++i) {
    Json line = parse_json(kStep, "test");
    line["step"] = i;
    line["tokens"] = 64 * i;
    line["loss"] = i == 3990 ? 1000.0 : 8 - i / 1000.0;
    line["skipped"] = i == 3990;
    metrics += dump_json(line) + "\n";
  }
  const std::string html = run_report(std::vector{make("a", "", metrics)});
  // The last 80 steps but one: their mean is 8 - 3.96 + ...: (sum of 3921 ... 4000 less 3990) / 79.
  const double mean = 8 - (80 * 3960.5 - 3990) / 79 / 1000;
  EXPECT_NEAR(mean, 4.0399, 1e-4);
  EXPECT_TRUE(has(html, "nats per token</td><td class=\"n\">4.04</td>"));
  EXPECT_TRUE(has(html, "<td>Steps skipped</td><td class=\"n\">1</td>"));
}

}  // namespace
}  // namespace tern::train
