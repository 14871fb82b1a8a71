// Events cross from the scheduler's thread to the I/O thread here.
#include "tern/server/texts.h"

#include <atomic>

#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern::server {
namespace {

using engine::StopReason;

// Its own thread is the I/O thread, but for `dropped` and what is set before the first event.
struct Group : std::enable_shared_from_this<Group> {
  Service* service;
  engine::Scheduler* scheduler;
  ExchangePtr exchange;
  std::shared_ptr<TextSink> sink;
  std::size_t left = 0;
  std::vector<std::uint64_t> ids;
  std::atomic<bool> dropped{false};  // Nobody listens any more.

  void cancel_all() {
    dropped = true;
    for (const std::uint64_t id : ids) scheduler->cancel(id);
  }

  void output(TextOutput&& output, const std::string& failure) {
    if (dropped) return;
    const auto ended = output.ended;
    if (ended) service->metrics.text_ended(output.status);
    if (!failure.empty()) return fail(HttpError(500, failure));
    if (ended == StopReason::kInterrupted) return fail(HttpError(503, "the server is stopping"));
    if (ended == StopReason::kDeadline && output.status.answer_tokens == 0) {
      return fail(HttpError(503, "no token came within the server's time limit for a text"));
    }
    sink->on_output(std::move(output));
    if (!ended || --left > 0) return;
    dropped = true;
    sink->on_all_ended();
  }

  void fail(const HttpError& error) {
    if (dropped) return;
    cancel_all();
    sink->on_failure(error);
  }
};

TextOutput copy_of(const engine::TextEvent& event, std::size_t index) {
  return {index,
          std::string(event.text),
          {event.tokens.begin(), event.tokens.end()},
          {event.prompt.begin(), event.prompt.end()},
          {event.embedding.begin(), event.embedding.end()},
          event.ended,
          event.status,
          std::string(event.stop)};
}

}  // namespace

void run_texts(Service& service, const ExchangePtr& exchange,
               std::vector<engine::TextRequest> requests, std::shared_ptr<TextSink> sink) {
  engine::Scheduler& scheduler = service.scheduler();
  const auto group = std::make_shared<Group>();
  group->service = &service;
  group->scheduler = &scheduler;
  group->exchange = exchange;
  group->sink = std::move(sink);
  group->left = requests.size();
  std::vector<std::uint64_t> ids;
  std::optional<HttpError> error;
  for (std::size_t i = 0; i < requests.size() && !error; ++i) {
    requests[i].on_event = [group, i](const engine::TextEvent& event) {
      if (group->dropped) return;
      group->exchange->post(
          [group, output = copy_of(event, i), failure = std::string(event.failure)]() mutable {
            group->output(std::move(output), failure);
          });
    };
    if (service.limits.text_seconds > 0) {
      requests[i].deadline = monotonic_seconds() + service.limits.text_seconds;
    }
    try {
      const auto id = scheduler.submit(std::move(requests[i]));
      if (id) {
        ids.push_back(*id);
      } else {
        error = service.stopping() ? HttpError(503, "the server is stopping")
                                   : HttpError(429, "as many texts wait as may (--queue)");
      }
    } catch (const Error& e) {
      const bool long_one = e.code() == ErrorCode::kLimit;
      error = HttpError(400, e.what(), "", long_one ? "context_length_exceeded" : "");
    }
  }
  // The first events may have come already: what is wrong is said where they are heard.
  exchange->post([group, ids = std::move(ids), error]() mutable {
    group->ids = std::move(ids);
    if (error) return group->fail(*error);
    if (group->dropped) return group->cancel_all();  // For those that have not ended yet.
    group->exchange->on_gone([group] { group->cancel_all(); });
  });
}

const char* finish_reason(StopReason reason) noexcept {
  return reason == StopReason::kEndToken || reason == StopReason::kStopString ? "stop" : "length";
}

}  // namespace tern::server
