// The endpoints; api.cpp has their routes. docs/server.md says what each takes and gives.
#pragma once

#include "tern/server/exchange.h"
#include "tern/server/service.h"

namespace tern::server {

void get_health(Service& service, const ExchangePtr& exchange);           // status.cpp
void get_metrics(Service& service, const ExchangePtr& exchange);          // status.cpp
void get_props(Service& service, const ExchangePtr& exchange);            // status.cpp
void get_models(Service& service, const ExchangePtr& exchange);           // status.cpp
void get_model(Service& service, const ExchangePtr& exchange);            // status.cpp
void post_chat(Service& service, const ExchangePtr& exchange);            // chat.cpp
void post_completions(Service& service, const ExchangePtr& exchange);     // completions.cpp
void post_embeddings(Service& service, const ExchangePtr& exchange);      // embeddings.cpp
void post_responses(Service& service, const ExchangePtr& exchange);       // responses.cpp
void post_messages(Service& service, const ExchangePtr& exchange);        // messages.cpp
void post_count_tokens(Service& service, const ExchangePtr& exchange);    // messages.cpp
void post_tokenize(Service& service, const ExchangePtr& exchange);        // tokenize.cpp
void post_detokenize(Service& service, const ExchangePtr& exchange);      // tokenize.cpp
void post_apply_template(Service& service, const ExchangePtr& exchange);  // tokenize.cpp
void get_page(Service& service, const ExchangePtr& exchange);             // page.cpp

}  // namespace tern::server
