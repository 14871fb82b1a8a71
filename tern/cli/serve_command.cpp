// `tern serve`: an OpenAI-compatible server with a page, over one model.
#include <fmt/core.h>

#include <atomic>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/base/version.h"
#include "tern/cli/command.h"
#include "tern/cli/loaded_model.h"
#include "tern/cli/model_facts.h"
#include "tern/cli/options.h"
#include "tern/engine/scheduler.h"
#include "tern/model/kv_pool.h"
#include "tern/server/api.h"
#include "tern/server/http_server.h"
#include "tern/server/served_model.h"
#include "tern/server/service.h"

namespace tern::cli {
namespace {

struct ServeOptions {
  ModelOptions model;
  server::HttpOptions http;
  server::AccessRules access;
  server::Limits limits;
  engine::SchedulerOptions scheduler;
  engine::SamplerParams sampler;
  std::optional<std::size_t> context;
  std::optional<std::size_t> kv_mib;
  std::string cache_k = "f16", cache_v = "f16";
  std::string alias, port_file;
  bool no_prefix_cache = false;
};

void add_options(CLI::App& app, ServeOptions& o) {
  add_model_options(app, o.model);
  add_lora_option(app, o.model);
  app.add_option("-c,--ctx-size", o.context,
                 "context of one text in tokens (0: all that the model was made for; default: "
                 "that, at most 4096)");
  app.add_option("-a,--alias", o.alias, "the model's name for clients (default: its own)");

  auto* net = app.add_option_group("network");
  net->add_option("--host", o.http.host, "address to listen at")->capture_default_str();
  net->add_option("--port", o.http.port, "port (0: any free one)")->capture_default_str();
  net->add_option("--port-file", o.port_file, "write the port into this file once it is open");
  net->add_option("--api-key", o.access.api_key, "key that every request must bring");
  net->add_option("--cors-origin", o.access.cors_origins,
                  "origin of web pages that may ask (repeatable; * for any)");
  net->add_option("--allowed-host", o.access.allowed_hosts,
                  "name of this server in requests, beside its addresses and localhost "
                  "(repeatable; * for any)");

  auto* load = app.add_option_group("load");
  load->add_option("--parallel", o.scheduler.slots, "texts that are written at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  load->add_option("--queue", o.scheduler.queue, "texts that may wait for their turn")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  load->add_option("--ubatch-size", o.scheduler.chunk,
                   "prompt tokens between two steps of running texts")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  load->add_option("--kv-mib", o.kv_mib,
                   "memory of the KV cache in MiB (default: for all texts at once, but at most a "
                   "quarter of this machine's memory)")
      ->check(CLI::Range(1, 1 << 24));
  load->add_option("--cache-type-k", o.cache_k, "type of the cached keys")
      ->check(CLI::IsMember(kKvTypeNames))
      ->capture_default_str();
  load->add_option("--cache-type-v", o.cache_v, "type of the cached values")
      ->check(CLI::IsMember(kKvTypeNames))
      ->capture_default_str();
  load->add_flag("--no-prefix-cache", o.no_prefix_cache, "compute every prompt from its start");

  auto* limits = app.add_option_group("limits");
  limits->add_option("--max-body", o.http.max_body, "bytes of a request")->capture_default_str();
  limits->add_option("--max-connections", o.http.max_connections, "open connections")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  limits->add_option("--read-timeout", o.http.read_seconds, "seconds for a request to come whole")
      ->check(CLI::Range(0.05, 86400.0))
      ->capture_default_str();
  limits
      ->add_option("--write-timeout", o.http.write_seconds,
                   "seconds for a client to take an answer, or a part of a stream")
      ->check(CLI::Range(0.05, 86400.0))
      ->capture_default_str();
  limits
      ->add_option("--time-limit", o.limits.text_seconds,
                   "seconds for a text from its arrival on (0: none)")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  limits->add_option("--grace", o.http.grace_seconds, "seconds to finish what runs on SIGTERM")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();

  auto* sampling = app.add_option_group("sampling where a request says nothing");
  sampling->add_option("--temp", o.sampler.temperature)->capture_default_str();
  sampling->add_option("--top-k", o.sampler.top_k)->capture_default_str();
  sampling->add_option("--top-p", o.sampler.top_p)->capture_default_str();
  sampling->add_option("--min-p", o.sampler.min_p)->capture_default_str();
  sampling->add_option("--repeat-penalty", o.sampler.repeat_penalty)->capture_default_str();
}

// Positions of the KV cache.
std::size_t cache_positions(const ServeOptions& o, const arch::ModelConfig& config,
                            std::size_t context) {
  const std::size_t all = o.scheduler.slots * context;
  const model::KvPool one(config, 1, kv_type(o.cache_k), kv_type(o.cache_v));
  const std::size_t bytes = one.bytes_per_position();
  if (!o.kv_mib) {
    const std::uint64_t memory = physical_memory();
    return memory == 0 ? all : std::max<std::size_t>(context, std::min(all, memory / 4 / bytes));
  }
  const std::size_t given = (*o.kv_mib << 20) / bytes;
  if (given < kernels::kKvBlock) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("--kv-mib {} found, expected at least {} for "
                            "{} positions of this model",
                            *o.kv_mib, (kernels::kKvBlock * bytes >> 20) + 1, kernels::kKvBlock));
  }
  return given;
}

// Everything between the model's file and its scheduler; loaded and run in a thread of its own.
class Engine {
 public:
  Engine(const ServeOptions& options, server::Service& service)
      : options_(options), service_(service) {}
  ~Engine() { stop(); }

  // `failed` is called, in another thread, where loading or running failed; rethrow() then tells.
  void start(std::function<void()> failed) {
    thread_ = std::thread([this, failed = std::move(failed)] {
      try {
        load();
        scheduler_->run();
      } catch (...) {
        error_ = std::current_exception();
        failed();
      }
    });
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
      if (scheduler_) scheduler_->stop();
    }
    if (thread_.joinable()) thread_.join();
    leave_facts_ = true;
    if (facts_thread_.joinable()) facts_thread_.join();
  }
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }
  Json facts() const {
    const std::lock_guard lock(mutex_);
    return facts_;
  }

 private:
  void load() {
    loaded_ = open_model(options_.model);
    const tokenizer::Tokenizer& tokenizer = loaded_.need_tokenizer();
    const checkpoint::Checkpoint& file = *loaded_.checkpoint;
    const std::string name = !options_.alias.empty()       ? options_.alias
                             : !file.config().name.empty() ? file.config().name
                                                           : file_name(file.name());
    const std::size_t context = context_size(loaded_, options_.context);
    loaded_.load_weights(context);
    served_.emplace(name, tokenizer, file.chat_template(), file.tool_template(),
                    loaded_.model->context(), options_.sampler);
    cache_.emplace(loaded_.model->config(),
                   cache_positions(options_, loaded_.model->config(), loaded_.model->context()),
                   kv_type(options_.cache_k), kv_type(options_.cache_v));
    {
      const std::lock_guard lock(mutex_);
      scheduler_.emplace(tokenizer, *loaded_.model, *loaded_.pool, *cache_, options_.scheduler);
      if (stopped_) scheduler_->stop();
    }
    service_.load(*served_, *scheduler_);
    say(fmt::format(
        "{} is ready after {:.2f} s: {} texts of {} tokens at once, KV cache {} MiB{}", name,
        loaded_.seconds, options_.scheduler.slots, loaded_.model->context(),
        cache_->blocks() * kernels::kKvBlock * cache_->bytes_per_position() >> 20,
        served_->chats() ? "" : "; it has no chat template: answers go on with the text"));
    facts_thread_ = std::thread([this] {
      try {
        ThreadPool alone(1);
        Json facts = model_facts(*loaded_.checkpoint, alone, [this] { return !leave_facts_; });
        const std::lock_guard lock(mutex_);
        facts_ = std::move(facts);
      } catch (const std::exception& e) {
        say(std::string("the model's facts are not known: ") + e.what());
      }
    });
  }
  static std::string file_name(const std::string& path) {
    const std::filesystem::path file(path);
    return file.extension() == ".gguf" ? file.stem().string() : file.filename().string();
  }

  const ServeOptions& options_;
  server::Service& service_;
  LoadedModel loaded_;
  std::optional<server::ServedModel> served_;
  std::optional<model::KvPool> cache_;
  std::optional<engine::Scheduler> scheduler_;
  std::exception_ptr error_;
  mutable std::mutex mutex_;  // Guards stopped_, the making of scheduler_, and facts_.
  bool stopped_ = false;
  Json facts_;
  std::atomic<bool> leave_facts_{false};
  std::thread thread_, facts_thread_;
};

}  // namespace

int run_serve(std::span<const std::string> args) {
  ServeOptions o;
  CLI::App app("Serves a model over HTTP: OpenAI's and Anthropic's interfaces, and a page.",
               "tern serve");
  add_options(app, o);
  parse(app, args);
  engine::validate(o.sampler);
  o.scheduler.share_prefixes = !o.no_prefix_cache;
  ignore_closed_pipes();

  server::Service service;
  service.version = version_text();
  service.slots = o.scheduler.slots;
  service.queue = o.scheduler.queue;
  service.limits = o.limits;
  std::optional<Engine> engine(std::in_place, o, service);
  service.model_facts = [&] { return engine->facts(); };
  server::Api api(service, o.access);
  server::HttpServer http(o.http, [&](server::ExchangePtr exchange) { api.handle(exchange); });
  service.http_counts = [&] { return http.counts(); };
  http.stop_on_signals([&] {
    service.stop();
    say("stopping: no more requests, those that run are finished");
  });
  const bool v6 = http.address().find(':') != std::string::npos;
  say(fmt::format("listening at http://{}:{}", v6 ? "[" + http.address() + "]" : http.address(),
                  http.port()));
  const bool local = http.address().starts_with("127.") || http.address() == "::1";
  if (!local && o.access.api_key.empty()) {
    say("anybody who reaches this address can use the model; --api-key KEY asks for a key");
  }
  if (!o.port_file.empty()) {
    write_file(o.port_file, std::to_string(http.port()) + "\n");
  }
  engine->start([&] { http.stop(); });
  http.run();
  service.stop();
  api.stop();
  engine->stop();
  http.finish();
  engine->rethrow();
  engine.reset();  // Before `http`, which holds the signals: freeing a large model takes a while.
  return 0;
}

}  // namespace tern::cli
