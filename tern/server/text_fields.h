// Fields that say how a text is written: sampling, limits, grammars, log-probabilities.
#pragma once

#include <memory>

#include "tern/engine/scheduler.h"
#include "tern/grammar/grammar.h"
#include "tern/server/fields.h"
#include "tern/server/served_model.h"
#include "tern/server/service.h"

namespace tern::server {

// A request without a prompt: temperature, top_p, top_k, min_p, typical_p, repeat_penalty (or
// repetition_penalty), repeat_last_n, presence_penalty, frequency_penalty, logit_bias, seed, stop,
// ignore_eos. Fields that are not there are the model's defaults; the seed is then a random one.
// Throws HttpError(400).
engine::TextRequest read_text_fields(const Fields& fields, const ServedModel& model,
                                     const Limits& limits);

// `stop`, or `stop_sequences`: one text or several.
std::vector<std::string> read_stops(const Fields& fields, std::string_view key,
                                    const Limits& limits);

// max_tokens, or the first of `keys` that is there; else `otherwise`.
std::size_t read_max_tokens(const Fields& fields, std::initializer_list<std::string_view> keys,
                            std::size_t otherwise);

// `grammar` (GBNF) or `response_format`; empty where neither asks for anything.
std::shared_ptr<const grammar::Grammar> read_grammar(const Fields& fields, const Limits& limits);
// OpenAI's {"type": "text" | "json_object" | "json_schema", "json_schema": {"schema"}}; `where` is
// its name in errors.
std::shared_ptr<const grammar::Grammar> read_response_format(const OrderedJson& format,
                                                             const std::string& where);

// The model's name: missing, "default" or the one that is served. Throws HttpError(404).
void check_model_name(const Fields& fields, const ServedModel& model);

// Seeds of `count` choices of one request: each its own.
void copy_choices(std::vector<engine::TextRequest>& texts, const engine::TextRequest& text,
                  std::size_t count);

}  // namespace tern::server
