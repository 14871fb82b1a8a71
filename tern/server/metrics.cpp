// Counters to text.
#include "tern/server/metrics.h"

#include <algorithm>
#include <charconv>

namespace tern::server {
namespace {

// The shortest that is this number again: six digits would hide what a large counter gained.
std::string number(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

void header(std::string& text, std::string_view name, std::string_view help,
            std::string_view type) {
  ((((text += "# HELP ") += name) += " ") += help) += "\n";
  ((((text += "# TYPE ") += name) += " ") += type) += "\n";
}

void single(std::string& text, std::string_view name, std::string_view help, std::string_view type,
            double value) {
  header(text, name, help, type);
  ((text += name) += " ") += number(value) + "\n";
}

}  // namespace

Histogram::Histogram(std::vector<double> upper_bounds)
    : bounds_(std::move(upper_bounds)), counts_(bounds_.size() + 1) {}

void Histogram::add(double value) {
  const auto at = std::ranges::lower_bound(bounds_, value) - bounds_.begin();
  const std::lock_guard lock(mutex_);
  ++counts_[static_cast<std::size_t>(at)];
  sum_ += value;
}

std::string Histogram::text(std::string_view name, std::string_view help) const {
  std::string text;
  header(text, name, help, "histogram");
  const std::lock_guard lock(mutex_);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    below += counts_[i];
    const std::string bound = i < bounds_.size() ? number(bounds_[i]) : "+Inf";
    ((((text += name) += "_bucket{le=\"") += bound) += "\"} ") += std::to_string(below) + "\n";
  }
  ((text += name) += "_sum ") += number(sum_) + "\n";
  ((text += name) += "_count ") += std::to_string(below) + "\n";
  return text;
}

Metrics::Metrics()
    : first_token_({.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}),
      per_token_({.001, .0025, .005, .01, .02, .03, .05, .075, .1, .15, .2, .3, .5, 1}),
      queued_({.001, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}) {}

void Metrics::text_ended(const engine::TextStatus& status) {
  if (status.answer_tokens == 0) return;
  queued_.add(status.queued_seconds);
  first_token_.add(status.queued_seconds + status.prompt_seconds);
  if (status.answer_tokens < 2) return;
  per_token_.add(status.generate_seconds / static_cast<double>(status.answer_tokens - 1));
}

std::string Metrics::text(const engine::SchedulerState& engine, const HttpCounts& http) const {
  std::string text;
  const auto count = [&](std::string_view name, std::string_view help, std::uint64_t value) {
    single(text, name, help, "counter", static_cast<double>(value));
  };
  const auto gauge = [&](std::string_view name, std::string_view help, double value) {
    single(text, name, help, "gauge", value);
  };
  const auto as_double = [](std::size_t value) { return static_cast<double>(value); };
  count("tern_prompt_tokens_total", "Prompt tokens that were computed.", engine.prompt_tokens);
  count("tern_prompt_tokens_cached_total", "Prompt tokens found in the prefix cache.",
        engine.cached_tokens);
  count("tern_tokens_predicted_total", "Tokens that were generated.", engine.answer_tokens);
  count("tern_texts_finished_total", "Texts that ended, for whatever reason.", engine.finished);
  count("tern_texts_cancelled_total", "Texts whose client went away.", engine.cancelled);
  count("tern_texts_put_back_total", "Texts that made way for others in a full KV cache.",
        engine.put_back);
  count("tern_steps_total", "Forward passes.", engine.steps);
  gauge("tern_requests_processing", "Texts that are read or continued.", as_double(engine.running));
  gauge("tern_requests_deferred", "Texts that wait for a slot.", as_double(engine.queued));
  gauge("tern_kv_blocks", "Blocks of 64 positions in the KV cache.", as_double(engine.kv_blocks));
  gauge("tern_kv_blocks_used", "Of these, in use by texts.", as_double(engine.kv_blocks_used));
  gauge("tern_kv_cache_usage_ratio", "Used blocks over all blocks.",
        engine.kv_blocks == 0 ? 0 : as_double(engine.kv_blocks_used) / as_double(engine.kv_blocks));
  gauge("tern_connections", "Open connections.", as_double(http.open));
  count("tern_connections_total", "Connections that were accepted.", http.connections);
  count("tern_connections_refused_total", "Connections beyond --max-connections.", http.refused);
  count("tern_read_timeouts_total", "Requests that did not come whole in time.", http.timeouts);
  count("tern_slow_readers_total", "Clients that did not take their answer in time.",
        http.slow_readers);
  header(text, "tern_http_responses_total", "Answers by class of status.", "counter");
  for (std::size_t i = 2; i < http.answers.size(); ++i) {
    text += "tern_http_responses_total{class=\"" + std::to_string(i) + "xx\"} " +
            std::to_string(http.answers[i]) + "\n";
  }
  text += first_token_.text("tern_time_to_first_token_seconds",
                            "From a request's arrival to its first token.");
  text += per_token_.text("tern_time_per_output_token_seconds",
                          "Mean time between the tokens of an answer.");
  text += queued_.text("tern_queue_seconds", "From a request's arrival to its first step.");
  return text;
}

}  // namespace tern::server
