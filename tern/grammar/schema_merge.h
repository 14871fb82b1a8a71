// Two JSON schemas as one that both must allow: what allOf, and keywords beside $ref or anyOf,
// mean.
#pragma once

#include <string>

#include "tern/base/error.h"
#include "tern/base/json.h"

namespace tern::grammar {

// No JSON value satisfies a schema. A branch of anyOf of which this is true is left out, and so is
// an optional property.
class NothingSatisfies : public Error {
 public:
  explicit NothingSatisfies(const std::string& what) : Error(ErrorCode::kBadArgument, what) {}
};

// Both at once. Requires neither to have $ref. Schemas inside (of properties, items) that both have
// become {"allOf": [.., ..]}. Throws Error(kUnsupported) naming the pointer and the keyword that
// cannot be merged, NothingSatisfies where nothing can satisfy both.
OrderedJson merge_schemas(const OrderedJson& a, const OrderedJson& b, const std::string& pointer);

// Keywords that only tell a reader something: ignored.
bool is_annotation(const std::string& keyword);

// "JSON schema: #/properties/a: ".
std::string schema_place(const std::string& pointer);

}  // namespace tern::grammar
