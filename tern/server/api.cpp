// The table of routes.
#include "tern/server/api.h"

#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "tern/server/answers.h"
#include "tern/server/endpoints/endpoints.h"
#include "tern/server/http_error.h"

namespace tern::server {
namespace {

constexpr auto kRoutes = std::to_array<Route>({
    {"GET", "/health", get_health, true, true},
    {"GET", "/metrics", get_metrics, true},
    {"GET", "/props", get_props},
    {"GET", "/v1/models", get_models, true},
    {"GET", "/v1/models/*", get_model, true},
    {"POST", "/v1/chat/completions", post_chat},
    {"POST", "/v1/completions", post_completions},
    {"POST", "/v1/embeddings", post_embeddings},
    {"POST", "/v1/responses", post_responses},
    {"POST", "/v1/messages", post_messages, false, false, true},
    {"POST", "/v1/messages/count_tokens", post_count_tokens, false, false, true},
    {"POST", "/tokenize", post_tokenize},
    {"POST", "/detokenize", post_detokenize},
    {"POST", "/apply-template", post_apply_template},
    {"GET", "/*", get_page, true, true},
});

bool fits(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with('*')) return pattern == path;
  return path.starts_with(pattern.substr(0, pattern.size() - 1));
}

// The route; throws HttpError 404, or 405 where the path has another method.
const Route& find_route(const Request& request) {
  const std::string_view asked = request.method;
  const std::string_view method = asked == "HEAD" ? std::string_view("GET") : asked;
  const Route* other = nullptr;  // The page's route fits every path: it comes last and only alone.
  for (const Route& route : kRoutes) {
    if (!fits(route.path, request.path) || (other != nullptr && route.endpoint == get_page)) {
      continue;
    }
    if (route.method == method) return route;
    if (route.endpoint != get_page) other = &route;
  }
  if (other != nullptr) {
    throw HttpError(405, request.method + " " + request.path + " found, expected " +
                             std::string(other->method));
  }
  throw HttpError(404, "'" + request.method + " " + request.path.substr(0, 200) +
                           "' found, expected one of the paths in docs/server.md");
}

void fail(Exchange& exchange, const HttpError& error, bool anthropic) {
  if (!anthropic) return reply_error(exchange, error, false);
  exchange.reply({error.status(), "application/json", anthropic_error_body(error), {}});
}

// The answer to a browser that asks whether it may ask.
void preflight(Exchange& exchange) {
  const std::string_view wanted = exchange.request().header("Access-Control-Request-Headers");
  exchange.reply({204,
                  "",
                  "",
                  {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                   {"Access-Control-Allow-Headers",
                    wanted.empty() ? "Authorization, Content-Type" : std::string(wanted)},
                   {"Access-Control-Max-Age", "600"}}});
}

}  // namespace

// One thread and a queue before it.
struct Api::Worker {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::function<void()>> tasks;
  bool ended = false;
  std::thread thread{[this] { run(); }};

  void run() {
    for (;;) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return ended || !tasks.empty(); });
        if (ended) return;
        task = std::move(tasks.front());
        tasks.pop_front();
      }
      task();
    }
  }
  void add(std::function<void()> task) {
    const std::lock_guard lock(mutex);
    tasks.push_back(std::move(task));
    wake.notify_one();
  }
  void end() {
    {
      const std::lock_guard lock(mutex);
      ended = true;
      wake.notify_one();
    }
    if (thread.joinable()) thread.join();
    tasks.clear();
  }
  ~Worker() { end(); }
};

Api::Api(Service& service, AccessRules rules)
    : service_(service), rules_(std::move(rules)), worker_(std::make_unique<Worker>()) {}

Api::~Api() = default;

void Api::stop() { worker_->end(); }

void Api::handle(const ExchangePtr& exchange) {
  const Request& request = exchange->request();
  bool anthropic = request.path.starts_with("/v1/messages");
  try {
    check_sender(request, rules_);
    if (const auto origin = cors_origin(request, rules_); !origin.empty()) {
      exchange->add_header("Access-Control-Allow-Origin", std::string(origin));
      exchange->add_header("Vary", "Origin");
      if (request.method == "OPTIONS") return preflight(*exchange);
    }
    const Route& route = find_route(request);
    if (!route.open) check_key(request, rules_);
    if (route.quick) return route.endpoint(service_, exchange);
    anthropic = route.anthropic;
    worker_->add([this, &route, exchange] {
      try {
        route.endpoint(service_, exchange);
      } catch (...) {
        exchange->post([exchange, error = current_http_error(), anthropic = route.anthropic] {
          fail(*exchange, error, anthropic);
        });
      }
    });
  } catch (...) {
    fail(*exchange, current_http_error(), anthropic);
  }
}

}  // namespace tern::server
