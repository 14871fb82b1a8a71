// Reading of what a text shall be.
#include "tern/server/text_fields.h"

#include <charconv>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/grammar/json_schema.h"

namespace tern::server {
namespace {

constexpr double kMost = 1e6;
constexpr std::size_t kMostBiases = 1024;

engine::TokenBias one_bias(const Fields& fields, std::uint64_t id, const OrderedJson& value,
                           const ServedModel& model) {
  if (id >= model.tokenizer.vocab_size()) {
    throw HttpError(400,
                    "logit_bias: token " + std::to_string(id) + " found, expected one below " +
                        std::to_string(model.tokenizer.vocab_size()),
                    "logit_bias");
  }
  if (!value.is_number() || !(std::abs(value.get<double>()) <= kMost)) {
    throw fields.wrong("logit_bias", "token ids with numbers");
  }
  return {static_cast<std::uint32_t>(id), value.get<double>()};
}

// {"15": -100} or, as llama.cpp has it, [[15, -100]].
std::vector<engine::TokenBias> read_bias(const Fields& fields, const ServedModel& model) {
  std::vector<engine::TokenBias> biases;
  const OrderedJson* json = fields.find("logit_bias");
  if (json == nullptr) return biases;
  if (json->size() > kMostBiases) {
    throw fields.wrong("logit_bias", "at most " + std::to_string(kMostBiases) + " tokens");
  }
  const auto add = [&](const engine::TokenBias& bias) {
    for (const auto& other : biases) {
      if (other.id == bias.id) throw fields.wrong("logit_bias", "each token once");
    }
    biases.push_back(bias);
  };
  if (json->is_object()) {
    for (const auto& [key, value] : json->items()) {
      std::uint64_t id = 0;
      const auto [end, ec] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (ec != std::errc() || end != key.data() + key.size()) {
        throw fields.wrong("logit_bias", "token ids as keys");
      }
      add(one_bias(fields, id, value, model));
    }
  } else if (json->is_array()) {
    for (const OrderedJson& pair : *json) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned()) {
        throw fields.wrong("logit_bias", "pairs of a token id and a number");
      }
      add(one_bias(fields, pair[0].get<std::uint64_t>(), pair[1], model));
    }
  } else {
    throw fields.wrong("logit_bias", "an object of token ids and numbers");
  }
  return biases;
}

template <typename Value, typename Read>
void set(Value& value, const std::optional<Read>& read) {
  if (read) value = static_cast<Value>(*read);
}

}  // namespace

std::vector<std::string> read_stops(const Fields& fields, std::string_view key,
                                    const Limits& limits) {
  const OrderedJson* json = fields.find(key);
  if (json == nullptr) return {};
  std::vector<std::string> stops;
  if (json->is_string()) {
    stops.push_back(json->get<std::string>());
  } else if (json->is_array() && json->size() <= limits.stops) {
    for (const OrderedJson& one : *json) {
      if (!one.is_string()) throw fields.wrong(key, "a text or a list of texts");
      stops.push_back(one.get<std::string>());
    }
  } else {
    throw fields.wrong(key,
                       "a text or a list of at most " + std::to_string(limits.stops) + " texts");
  }
  for (const std::string& stop : stops) {
    if (stop.empty()) throw fields.wrong(key, "texts that are not empty");
  }
  return stops;
}

engine::TextRequest read_text_fields(const Fields& fields, const ServedModel& model,
                                     const Limits& limits) {
  engine::TextRequest text;
  engine::SamplerParams& sampler = text.sampler;
  sampler = model.defaults;
  set(sampler.temperature, fields.number("temperature", 0, 100));
  // OpenAI allows top_p 0, which means the best token alone.
  set(sampler.top_p, fields.number("top_p", 0, 1));
  if (sampler.top_p <= 0) sampler.top_p = 1e-9;
  if (const auto k = fields.integer("top_k", -1, INT32_MAX)) {
    sampler.top_k = *k < 0 ? 0 : static_cast<std::size_t>(*k);
  }
  set(sampler.min_p, fields.number("min_p", 0, 0.999999));
  set(sampler.typical_p, fields.number("typical_p", 1e-9, 1));
  set(sampler.repeat_penalty, fields.number("repetition_penalty", 1e-3, 1e3));
  set(sampler.repeat_penalty, fields.number("repeat_penalty", 1e-3, 1e3));
  set(sampler.repeat_last_n, fields.integer("repeat_last_n", 0, 1 << 20));
  set(sampler.presence_penalty, fields.number("presence_penalty", -100, 100));
  set(sampler.frequency_penalty, fields.number("frequency_penalty", -100, 100));
  sampler.logit_bias = read_bias(fields, model);
  const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX);
  sampler.seed = seed && *seed != -1 ? static_cast<std::uint64_t>(*seed) : random_seed();
  text.limits.stop = read_stops(fields, "stop", limits);
  text.limits.ignore_end = fields.flag("ignore_eos").value_or(false);
  return text;
}

std::size_t read_max_tokens(const Fields& fields, std::initializer_list<std::string_view> keys,
                            std::size_t otherwise) {
  for (const std::string_view key : keys) {
    if (const auto tokens = fields.integer(key, -1, INT64_MAX)) {
      return *tokens < 0 ? SIZE_MAX : static_cast<std::size_t>(*tokens);
    }
  }
  return otherwise;
}

std::shared_ptr<const grammar::Grammar> read_response_format(const OrderedJson& format,
                                                             const std::string& where) {
  const Fields fields(format, where + ".");
  const auto type = fields.text("type");
  if (!type) throw fields.missing("type", "\"text\", \"json_object\" or \"json_schema\"");
  if (*type == "text") return nullptr;
  if (*type == "json_object") return grammar::json_object_grammar();
  if (*type != "json_schema") {
    throw fields.wrong("type", "\"text\", \"json_object\" or \"json_schema\"");
  }
  // OpenAI's chat has the schema one object deeper than its responses.
  const OrderedJson* outer = fields.object("json_schema");
  const Fields inner(outer ? *outer : format, where + (outer ? ".json_schema." : "."));
  const OrderedJson* schema = inner.object("schema");
  if (schema == nullptr) throw inner.missing("schema", "a JSON schema");
  try {
    return grammar::json_schema_to_grammar(*schema);
  } catch (const Error& e) {
    throw HttpError(400, inner.name("schema") + ": " + e.what(), inner.name("schema"));
  }
}

std::shared_ptr<const grammar::Grammar> read_grammar(const Fields& fields, const Limits& limits) {
  const auto gbnf = fields.text("grammar");
  const OrderedJson* format = fields.object("response_format");
  if (!gbnf || gbnf->empty()) {
    return format ? read_response_format(*format, "response_format") : nullptr;
  }
  if (format != nullptr && Fields(*format).text("type") != "text") {
    throw HttpError(400, "grammar: found together with response_format, expected one of them",
                    "grammar");
  }
  if (gbnf->size() > limits.grammar) {
    throw HttpError(400,
                    "grammar: " + std::to_string(gbnf->size()) + " bytes found, expected at most " +
                        std::to_string(limits.grammar),
                    "grammar");
  }
  try {
    return grammar::make_grammar(*gbnf);
  } catch (const Error& e) {
    throw HttpError(400, e.what(), "grammar");
  }
}

void check_model_name(const Fields& fields, const ServedModel& model) {
  const auto name = fields.text("model");
  if (!name || name->empty() || *name == "default" || *name == model.id) return;
  throw HttpError(404,
                  "model: " + shown(*name) + " found, expected \"" + model.id + "\" or \"default\"",
                  "model", "model_not_found");
}

void copy_choices(std::vector<engine::TextRequest>& texts, const engine::TextRequest& text,
                  std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    texts.push_back(text);
    texts.back().sampler.seed += i;
  }
}

}  // namespace tern::server
