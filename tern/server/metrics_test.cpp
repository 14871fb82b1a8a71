// The metrics are what a strict reader of Prometheus' text takes, and count exactly.
#include "tern/server/metrics.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <sstream>

namespace tern::server {
namespace {

// Sample to value. Each family has HELP and TYPE, once, and its samples follow them.
std::map<std::string, std::string> parse(const std::string& text) {
  EXPECT_TRUE(text.ends_with("\n"));
  std::map<std::string, std::string> samples, families;
  std::istringstream lines(text);
  std::string line, family;
  const std::regex about("# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)");
  const std::regex sample("([a-zA-Z_:][a-zA-Z0-9_:]*)(\\{[a-z]+=\"[^\"\\\\]*\"\\})? ([0-9.e+-]+)");
  std::smatch m;
  while (std::getline(lines, line)) {
    if (std::regex_match(line, m, about)) {
      if (m[1] == "HELP") {
        family = m[2];
        EXPECT_TRUE(families.emplace(family, "").second) << line;
      } else {
        EXPECT_EQ(m[2], family);
        families[family] = m[3];
      }
      continue;
    }
    EXPECT_TRUE(std::regex_match(line, m, sample)) << line;
    std::string name = m[1];
    if (families[family] == "histogram") {
      EXPECT_TRUE(name == family + "_bucket" || name == family + "_sum" ||
                  name == family + "_count");
    } else {
      EXPECT_EQ(name, family);
    }
    EXPECT_TRUE(samples.emplace(name + m[2].str(), m[3]).second) << line;
  }
  for (const auto& [name, type] : families) {
    EXPECT_TRUE(type == "counter" || type == "gauge" || type == "histogram") << name << type;
  }
  return samples;
}

TEST(Metrics, AreWhatPrometheusReads) {
  Metrics metrics;
  for (const std::size_t tokens : {0u, 1u, 11u}) {
    engine::TextStatus status;
    status.answer_tokens = tokens;
    status.queued_seconds = 0.25;
    status.prompt_seconds = 0.5;
    status.generate_seconds = 3000;
    metrics.text_ended(status);
  }
  engine::SchedulerState state;
  state.prompt_tokens = 123456789;
  state.kv_blocks = 3;
  state.kv_blocks_used = 1;
  HttpCounts http;
  http.answers[4] = 1234567890123;
  auto samples = parse(metrics.text(state, http));
  EXPECT_EQ(samples["tern_prompt_tokens_total"], "123456789");
  EXPECT_EQ(samples["tern_http_responses_total{class=\"4xx\"}"], "1234567890123");
  EXPECT_EQ(samples["tern_kv_cache_usage_ratio"].substr(0, 8), "0.333333");
  EXPECT_EQ(samples["tern_time_to_first_token_seconds_count"], "2");
  EXPECT_EQ(samples["tern_time_to_first_token_seconds_bucket{le=\"0.5\"}"], "0");
  EXPECT_EQ(samples["tern_time_to_first_token_seconds_bucket{le=\"1\"}"], "2");
  EXPECT_EQ(samples["tern_time_per_output_token_seconds_bucket{le=\"1\"}"], "0");
  EXPECT_EQ(samples["tern_time_per_output_token_seconds_bucket{le=\"+Inf\"}"], "1");
  EXPECT_EQ(samples["tern_time_per_output_token_seconds_sum"], "300");
}

}  // namespace
}  // namespace tern::server
