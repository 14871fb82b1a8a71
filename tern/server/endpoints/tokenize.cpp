// POST /tokenize, /detokenize and /apply-template: what a model is given, without running it.
#include "tern/base/utf8.h"
#include "tern/server/answers.h"
#include "tern/server/chat_request.h"
#include "tern/server/endpoints/endpoints.h"
#include "tern/server/prompts.h"

namespace tern::server {

void post_tokenize(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  const OrderedJson body = parse_body(exchange->request().body);
  const Fields fields(body);
  const auto text = fields.text("content");
  if (!text) throw fields.missing("content", "a string");
  const bool special = fields.flag("parse_special").value_or(true);
  const auto ids = fields.flag("add_special").value_or(false)
                       ? model.tokenizer.encode_with_bos(*text, special)
                       : model.tokenizer.encode(*text, special);
  OrderedJson tokens = OrderedJson::array();
  const bool pieces = fields.flag("with_pieces").value_or(false);
  for (const std::uint32_t id : ids) {
    if (pieces) {
      tokens.push_back({{"id", id}, {"piece", valid_utf8(model.token_text(id))}});
    } else {
      tokens.push_back(id);
    }
  }
  send_json(exchange, {{"tokens", std::move(tokens)}});
}

void post_detokenize(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  const OrderedJson body = parse_body(exchange->request().body);
  const Fields fields(body);
  const OrderedJson* tokens = fields.array("tokens");
  if (tokens == nullptr) throw fields.missing("tokens", "a list of token ids");
  const auto ids = read_ids(*tokens, "tokens", model);
  send_json(exchange, {{"content", valid_utf8(model.tokenizer.decode(ids))}});
}

void post_apply_template(Service& service, const ExchangePtr& exchange) {
  const ServedModel& model = service.model();
  const OrderedJson body = parse_body(exchange->request().body);
  send_json(exchange, {{"prompt", model.render(read_chat_input(Fields(body)))}});
}

}  // namespace tern::server
