// Merging of JSON schemas, keyword by keyword.
#include "tern/grammar/schema_merge.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "tern/base/error.h"

namespace tern::grammar {
namespace {

constexpr auto kAnnotations = std::to_array<std::string_view>(
    {"title", "description", "default", "examples", "$schema", "$id", "$comment", "deprecated",
     "readOnly", "writeOnly", "$defs", "definitions"});

OrderedJson both(const OrderedJson& a, const OrderedJson& b) {
  OrderedJson out = OrderedJson::object();
  out["allOf"] = OrderedJson::array({a, b});
  return out;
}

OrderedJson as_list(const OrderedJson& value) {
  return value.is_array() ? value : OrderedJson::array({value});
}

bool holds(const OrderedJson& list, const OrderedJson& value) {
  return std::ranges::find(list, value) != list.end();
}

[[noreturn]] void fail_nothing(const std::string& pointer, const std::string& keyword) {
  throw NothingSatisfies(schema_place(pointer) + "two values of '" + keyword +
                         "' found that no JSON value satisfies together");
}

OrderedJson merge_types(const OrderedJson& a, const OrderedJson& b, const std::string& pointer) {
  const OrderedJson left = as_list(a), right = as_list(b);
  OrderedJson out = OrderedJson::array();
  for (const OrderedJson& type : left) {
    if (holds(right, type) || (type == "integer" && holds(right, "number"))) {
      out.push_back(type);
    } else if (type == "number" && holds(right, "integer")) {
      out.push_back("integer");
    }
  }
  if (out.empty()) fail_nothing(pointer, "type");
  return out;
}

OrderedJson merge_lists(const std::string& key, const OrderedJson& a, const OrderedJson& b,
                        const std::string& pointer) {
  if (!a.is_array() || !b.is_array()) {
    throw Error(ErrorCode::kBadArgument,
                schema_place(pointer) + "'" + key + "' is no array, expected one");
  }
  OrderedJson out = OrderedJson::array();
  if (key == "enum") {
    for (const OrderedJson& value : a) {
      if (holds(b, value)) out.push_back(value);
    }
    if (out.empty()) fail_nothing(pointer, key);
    return out;
  }
  out = a;
  for (const OrderedJson& value : b) {
    if (key == "allOf" || !holds(out, value)) out.push_back(value);
  }
  return out;
}

// A property of one side alone must satisfy the other side's additionalProperties, if it has any.
void merge_properties(OrderedJson& out, const OrderedJson& a, const OrderedJson& b) {
  const auto part = [](const OrderedJson& schema, const char* key) {
    const auto it = schema.find(key);
    return it == schema.end() ? OrderedJson() : *it;
  };
  const OrderedJson a_props = part(a, "properties"), b_props = part(b, "properties");
  const OrderedJson a_more = part(a, "additionalProperties");
  const OrderedJson b_more = part(b, "additionalProperties");
  OrderedJson props = OrderedJson::object();
  for (const auto& [name, schema] : a_props.items()) {
    if (b_props.contains(name)) {
      props[name] = both(schema, b_props[name]);
    } else {
      props[name] = b_more.is_null() ? schema : both(schema, b_more);
    }
  }
  for (const auto& [name, schema] : b_props.items()) {
    if (!a_props.contains(name)) props[name] = a_more.is_null() ? schema : both(schema, a_more);
  }
  if (!a_props.is_null() || !b_props.is_null()) out["properties"] = props;
  if (!a_more.is_null() && !b_more.is_null()) {
    out["additionalProperties"] = both(a_more, b_more);
  } else if (!a_more.is_null() || !b_more.is_null()) {
    out["additionalProperties"] = a_more.is_null() ? b_more : a_more;
  }
}

OrderedJson merge_prefixes(const OrderedJson& a, const OrderedJson& b, const std::string& pointer) {
  if (!a.is_array() || !b.is_array() || a.size() != b.size()) {
    throw Error(ErrorCode::kUnsupported, schema_place(pointer) +
                                             "two 'prefixItems' of different lengths found, which "
                                             "cannot be merged, expected equal lengths");
  }
  OrderedJson out = OrderedJson::array();
  for (std::size_t i = 0; i < a.size(); ++i) out.push_back(both(a[i], b[i]));
  return out;
}

OrderedJson merge_keyword(const std::string& key, const OrderedJson& a, const OrderedJson& b,
                          const std::string& pointer) {
  if (a == b || is_annotation(key)) return a;
  if (key == "type") return merge_types(a, b, pointer);
  if (key == "required" || key == "enum" || key == "allOf") return merge_lists(key, a, b, pointer);
  if (key == "items") return both(a, b);
  if (key == "prefixItems") return merge_prefixes(a, b, pointer);
  if (key == "const") fail_nothing(pointer, key);
  if (a.is_number() && b.is_number()) {
    if (key.starts_with("min") || key == "exclusiveMinimum") return a < b ? b : a;
    if (key.starts_with("max") || key == "exclusiveMaximum") return a < b ? a : b;
  }
  throw Error(ErrorCode::kUnsupported, schema_place(pointer) + "two values of '" + key +
                                           "' found, which cannot be merged, expected one");
}

}  // namespace

bool is_annotation(const std::string& keyword) {
  return std::ranges::find(kAnnotations, std::string_view(keyword)) != kAnnotations.end();
}

std::string schema_place(const std::string& pointer) { return "JSON schema: " + pointer + ": "; }

OrderedJson merge_schemas(const OrderedJson& a, const OrderedJson& b, const std::string& pointer) {
  for (const OrderedJson* one : {&a, &b}) {
    if (!one->is_object() && !one->is_boolean()) {
      throw Error(ErrorCode::kBadArgument, schema_place(pointer) + "found " + one->type_name() +
                                               " as a schema, expected an object, true or false");
    }
  }
  if (a.is_boolean()) return a.get<bool>() ? b : a;
  if (b.is_boolean()) return b.get<bool>() ? a : b;
  // `items` speaks of other elements where there are prefixItems.
  for (const auto& [one, other] : {std::pair{&a, &b}, std::pair{&b, &a}}) {
    if (one->contains("prefixItems") && !other->contains("prefixItems") &&
        other->contains("items")) {
      throw Error(ErrorCode::kUnsupported,
                  schema_place(pointer) +
                      "'items' and 'prefixItems' of different schemas found, "
                      "which cannot be merged, expected them in one");
    }
  }
  OrderedJson out = a;
  OrderedJson later =
      OrderedJson::array();  // A second anyOf, which each branch of the first meets.
  for (const auto& [key, value] : b.items()) {
    if (key == "properties" || key == "additionalProperties") continue;
    const auto mine = a.find(key);
    if (mine != a.end() && (key == "anyOf" || key == "oneOf")) {
      later.push_back(OrderedJson{{key, value}});
      continue;
    }
    out[key] = mine == a.end() ? value : merge_keyword(key, *mine, value, pointer);
  }
  for (const OrderedJson* one : {&a, &b}) {
    const auto properties = one->find("properties");
    if (properties != one->end() && !properties->is_object()) {
      throw Error(ErrorCode::kBadArgument,
                  schema_place(pointer) + "'properties' is no object, expected one");
    }
  }
  merge_properties(out, a, b);
  if (!later.empty()) {
    const OrderedJson parts = out.contains("allOf") ? out["allOf"] : OrderedJson::array();
    out["allOf"] = merge_lists("allOf", parts, later, pointer);
  }
  return out;
}

}  // namespace tern::grammar
