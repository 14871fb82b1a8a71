// GET /health, /metrics, /props and /v1/models: what is served, and how it does.
#include "tern/server/answers.h"
#include "tern/server/endpoints/endpoints.h"

namespace tern::server {
namespace {

OrderedJson model_json(const ServedModel& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "tern"},
          {"meta", {{"n_ctx", model.context}, {"n_vocab", model.tokenizer.vocab_size()}}}};
}

}  // namespace

void get_health(Service& service, const ExchangePtr& exchange) {
  service.model();  // Throws while there is none.
  reply_json(*exchange, {{"status", "ok"}});
}

void get_metrics(Service& service, const ExchangePtr& exchange) {
  exchange->reply({200,
                   "text/plain; version=0.0.4; charset=utf-8",
                   service.metrics.text(service.engine_state(), service.http_counts()),
                   {}});
}

void get_models(Service& service, const ExchangePtr& exchange) {
  reply_json(*exchange,
             {{"object", "list"}, {"data", OrderedJson::array({model_json(service.model())})}});
}

void get_model(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  const std::string asked =
      decode_path(exchange->request().path.substr(std::string_view("/v1/models/").size()));
  if (asked != model.id && asked != "default") {
    throw HttpError(404, "model '" + asked.substr(0, 200) + "' found, expected '" + model.id + "'",
                    "model", "model_not_found");
  }
  reply_json(*exchange, model_json(model));
}

void get_props(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  const auto state = service.engine_state();
  const engine::SamplerParams& d = model.defaults;
  OrderedJson facts = service.model_facts ? OrderedJson(service.model_facts()) : OrderedJson();
  facts["id"] = model.id;
  send_json(exchange, {{"version", service.version},
                       {"model", std::move(facts)},
                       {"context", model.context},
                       {"slots", service.slots},
                       {"queue", service.queue},
                       {"kv_blocks", state.kv_blocks},
                       {"chat", model.chats()},
                       {"tools", model.calls_tools()},
                       {"chat_template", model.chat_template},
                       {"defaults",
                        {{"temperature", d.temperature},
                         {"top_k", d.top_k},
                         {"top_p", d.top_p},
                         {"min_p", d.min_p},
                         {"repeat_penalty", d.repeat_penalty}}}});
}

}  // namespace tern::server
