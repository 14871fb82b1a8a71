// From an endpoint to the scheduler and back: the texts of one request.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tern/engine/scheduler.h"
#include "tern/server/exchange.h"
#include "tern/server/http_error.h"
#include "tern/server/service.h"

namespace tern::server {

// engine::TextEvent as a thing of its own.
struct TextOutput {
  std::size_t index = 0;  // Which of the request's texts.
  std::string text;
  std::vector<engine::TokenScore> tokens, prompt;
  std::vector<float> embedding;
  std::optional<engine::StopReason> ended;
  engine::TextStatus status;
  std::string stop;  // The stop string that ended it.
};

// What becomes of the texts of one request. Called in the I/O thread; after on_all_ended() or
// on_failure() no more.
class TextSink {
 public:
  virtual ~TextSink() = default;
  virtual void on_output(TextOutput&& output) = 0;
  virtual void on_all_ended() = 0;
  // Something failed, maybe after outputs have come.
  virtual void on_failure(const HttpError& error) = 0;
};

// Hands the texts to the scheduler; all are cancelled when the client goes. From the worker thread.
// Throws HttpError: 429 where the queue has no room for all of them, 400 for what can never run.
void run_texts(Service& service, const ExchangePtr& exchange,
               std::vector<engine::TextRequest> requests, std::shared_ptr<TextSink> sink);

// "stop" or "length", as OpenAI names the reasons.
const char* finish_reason(engine::StopReason reason) noexcept;

}  // namespace tern::server
