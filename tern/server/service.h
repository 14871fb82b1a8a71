// All that endpoints share: the model, once it is loaded, its scheduler and the counters.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "tern/base/json.h"
#include "tern/engine/scheduler.h"
#include "tern/server/http_server.h"
#include "tern/server/metrics.h"
#include "tern/server/served_model.h"

namespace tern::server {

struct Limits {
  std::size_t choices = 16;       // `n`.
  std::size_t prompts = 256;      // Of one request.
  std::size_t stops = 64;         // Stop strings.
  std::size_t grammar = 1 << 18;  // Bytes of a grammar.
  double text_seconds = 0;        // Of one text, from its arrival on; 0: no limit.
};

// Endpoints run in two threads: the I/O thread and the worker. What is const here is so from
// before the first request; model() and scheduler() from when `ready` says.
class Service {
 public:
  Limits limits;
  std::string version;
  std::size_t slots = 0, queue = 0;  // Of the scheduler, for /props.
  Metrics metrics;
  std::function<HttpCounts()> http_counts;
  std::function<Json()> model_facts;  // For /props: more about the model, or null while unknown.

  // Both outlive the service's use. Once, from any thread.
  void load(const ServedModel& model, engine::Scheduler& scheduler);
  void stop();  // Requests are refused from now on. From any thread.
  bool ready() const;
  bool stopping() const;
  // Throw HttpError(503) before load() and after stop().
  const ServedModel& model() const;
  engine::Scheduler& scheduler() const;
  engine::SchedulerState engine_state() const;  // All 0 before load().

 private:
  void require_ready() const;

  mutable std::mutex mutex_;
  const ServedModel* model_ = nullptr;
  engine::Scheduler* scheduler_ = nullptr;
  bool stopping_ = false;
};

}  // namespace tern::server
