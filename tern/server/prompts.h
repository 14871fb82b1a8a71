// `prompt` and `input`: a text, several, ids, or several lists of ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tern/server/fields.h"
#include "tern/server/served_model.h"
#include "tern/server/service.h"

namespace tern::server {

// The ids of each prompt, which fit into the context. Texts get what the model's files want in
// front (BOS); ids are taken as they are. Throws HttpError(400).
std::vector<std::vector<std::uint32_t>> read_prompts(const Fields& fields, std::string_view key,
                                                     const ServedModel& model,
                                                     const Limits& limits);

// A list of token ids of this vocabulary; `name` is its name in errors.
std::vector<std::uint32_t> read_ids(const OrderedJson& list, const std::string& name,
                                    const ServedModel& model);

}  // namespace tern::server
