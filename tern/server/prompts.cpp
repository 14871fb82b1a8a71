// Prompts in all their forms.
#include "tern/server/prompts.h"

namespace tern::server {

std::vector<std::uint32_t> read_ids(const OrderedJson& list, const std::string& name,
                                    const ServedModel& model) {
  std::vector<std::uint32_t> ids;
  ids.reserve(list.size());
  for (const OrderedJson& id : list) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= model.tokenizer.vocab_size()) {
      throw HttpError(400,
                      name + ": " + shown(id) + " found, expected token ids below " +
                          std::to_string(model.tokenizer.vocab_size()),
                      name);
    }
    ids.push_back(id.get<std::uint32_t>());
  }
  return ids;
}

std::vector<std::vector<std::uint32_t>> read_prompts(const Fields& fields, std::string_view key,
                                                     const ServedModel& model,
                                                     const Limits& limits) {
  constexpr std::string_view kForms =
      "a text, a list of texts, a list of token ids or a list of such lists, none of them empty";
  const OrderedJson* json = fields.find(key);
  if (json == nullptr) throw fields.missing(key, kForms);
  std::vector<std::vector<std::uint32_t>> prompts;
  const auto add = [&](const OrderedJson& one, const std::string& name) {
    if (one.is_string()) {
      prompts.push_back(model.encode(one.get_ref<const std::string&>(), true, true));
    } else {
      model.require_fitting(one.size());
      prompts.push_back(read_ids(one, name, model));
    }
    if (prompts.back().empty()) throw fields.wrong(key, kForms);
    model.require_fitting(prompts.back().size());
  };
  if (json->is_string() || (json->is_array() && !json->empty() && json->front().is_number())) {
    add(*json, fields.name(key));
    return prompts;
  }
  if (!json->is_array() || json->empty()) throw fields.wrong(key, kForms);
  if (json->size() > limits.prompts) {
    throw fields.wrong(key, "at most " + std::to_string(limits.prompts) + " of them");
  }
  for (std::size_t i = 0; i < json->size(); ++i) {
    const OrderedJson& one = (*json)[i];
    if (!one.is_string() && !one.is_array()) throw fields.wrong(key, kForms);
    add(one, fields.name(key) + "[" + std::to_string(i) + "]");
  }
  return prompts;
}

}  // namespace tern::server
