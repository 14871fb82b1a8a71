// What an operator watches, as Prometheus text (exposition format 0.0.4).
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/engine/scheduler.h"
#include "tern/server/http_server.h"

namespace tern::server {

class Histogram {
 public:
  explicit Histogram(std::vector<double> upper_bounds);
  void add(double value);
  std::string text(std::string_view name, std::string_view help) const;

 private:
  std::vector<double> bounds_;
  mutable std::mutex mutex_;
  std::vector<std::uint64_t> counts_;  // One more than bounds_.
  double sum_ = 0;
};

// For any thread.
class Metrics {
 public:
  Metrics();
  // A text of a request has ended.
  void text_ended(const engine::TextStatus& status);
  std::string text(const engine::SchedulerState& engine, const HttpCounts& http) const;

 private:
  Histogram first_token_, per_token_, queued_;
};

}  // namespace tern::server
