// Any body to any endpoint that has a model behind it: an answer or a refusal, both in JSON.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>

#include "tern/base/json.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/engine/engine_test_util.h"
#include "tern/engine/scheduler.h"
#include "tern/server/endpoints/endpoints.h"
#include "tern/server/http_error.h"

namespace {

using namespace tern;
using namespace tern::server;

constexpr std::string_view kTemplate =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.tool_calls %}{% for c in "
    "m.tool_calls %}<call>{{ {'name': c.function.name, 'arguments': c.function.arguments} | tojson "
    "}}</call>{% endfor %}{% endif %}</{{ m.role }}>{% endfor %}{% if tools %}{{ tools | tojson }}"
    "{% endif %}{% if add_generation_prompt %}<assistant>{% endif %}";

// Takes the answer, and runs what the server's I/O thread would.
class Recorder final : public Exchange {
 public:
  explicit Recorder(std::string body) { request_.body = std::move(body); }
  const Request& request() const noexcept override { return request_; }
  void reply(Response response) override {
    if (answered_) std::abort();
    answered_ = true;
    parse_json(response.body, "answer");
  }
  void begin_stream(std::string_view) override { streaming_ = true; }
  void write(std::string_view bytes) override {
    if (answered_ || !streaming_) std::abort();
    const std::size_t at = bytes.find("data: ");
    if (at == std::string_view::npos) std::abort();
    if (bytes.substr(at) != "data: [DONE]\n\n") parse_json(bytes.substr(at + 6), "event");
  }
  void end() override {
    if (answered_ || !streaming_) std::abort();
    answered_ = true;
  }
  void add_header(std::string, std::string) override {}
  void on_gone(std::function<void()> callback) override { gone_ = std::move(callback); }
  void post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }

  void run() {
    while (!tasks_.empty()) {
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
  void leave() {
    if (gone_ && !answered_) std::exchange(gone_, nullptr)();
    gone_ = nullptr;
  }
  bool answered() const { return answered_; }

 private:
  Request request_;
  std::deque<std::function<void()>> tasks_;
  std::function<void()> gone_;
  bool answered_ = false, streaming_ = false;
};

class Served {
 public:
  Served()
      : pool_(1),
        model_(checkpoint::open_checkpoint(TERN_GOLDEN_DIR "/bitnet2b4t_packed", {}, false),
               kernels::choose_table(""), 0, pool_),
        tokenizer_(engine::letters(model_.config().vocab)),
        cache_(model_.config(), 1024, kernels::KvType::kF16, kernels::KvType::kF16),
        scheduler_(tokenizer_, model_, pool_, cache_, {.slots = 4, .queue = 64, .chunk = 128}),
        served_("fuzz", tokenizer_, std::string(kTemplate), "", 128, {}) {
    service.load(served_, scheduler_);
  }
  bool step() { return scheduler_.step(); }
  Service service;

 private:
  ThreadPool pool_;
  model::Model model_;
  tokenizer::Tokenizer tokenizer_;
  model::KvPool cache_;
  engine::Scheduler scheduler_;
  ServedModel served_;
};

constexpr void (*kEndpoints[])(Service&, const ExchangePtr&) = {
    post_chat,         post_completions, post_embeddings, post_responses,     post_messages,
    post_count_tokens, post_tokenize,    post_detokenize, post_apply_template};

}  // namespace

// The first byte says which endpoint.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Served& served = *new Served;
  if (size == 0) return -1;
  const auto exchange =
      std::make_shared<Recorder>(std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  try {
    kEndpoints[data[0] % std::size(kEndpoints)](served.service, exchange);
  } catch (...) {
    const HttpError error = current_http_error();
    if (error.status() == 500) throw;  // Nothing that a client sends is our fault.
    parse_json(error_body(error), "error");
    return 0;
  }
  exchange->run();
  for (int steps = 0; steps < 40 && served.step(); ++steps) exchange->run();
  exchange->leave();
  while (served.step()) exchange->run();
  exchange->run();
  return 0;
}
