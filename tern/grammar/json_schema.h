// JSON schema as a grammar: every text of the grammar is JSON that the schema allows.
#pragma once

#include <memory>
#include <string>

#include "tern/base/json.h"
#include "tern/grammar/grammar.h"

namespace tern::grammar {

// GBNF whose texts are valid under `schema` (draft 2020-12, the part that docs/grammar.md lists).
// It is narrower than the schema where that keeps a model on the rails: properties in the order of
// the schema, numbers of bounded length, a bounded amount of white space.
// Throws Error(kUnsupported) for a keyword that it does not know, naming the keyword and the JSON
// pointer of its schema; Error(kBadArgument) for a schema that is wrong or that no value satisfies;
// Error(kLimit) for one that is too large. Annotations (title, description, ...) are ignored.
std::string json_schema_to_gbnf(const OrderedJson& schema);
std::shared_ptr<const Grammar> json_schema_to_grammar(const OrderedJson& schema);

// Any JSON object: what response_format "json_object" asks for.
std::shared_ptr<const Grammar> json_object_grammar();

}  // namespace tern::grammar
