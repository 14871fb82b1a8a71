// JSON schema to GBNF: one rule per schema.
#include "tern/grammar/json_schema.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/utf8.h"
#include "tern/grammar/schema_merge.h"
#include "tern/grammar/schema_rules.h"
#include "tern/grammar/syntax.h"

namespace tern::grammar {
namespace {

constexpr std::size_t kMaxSchemas = 10000;    // Schemas looked at, merged ones too.
constexpr std::size_t kMaxDepth = 100;        // Schemas inside schemas.
constexpr std::size_t kMaxProperties = 2000;  // Of one object.
constexpr std::size_t kMaxValues = 20000;     // Of one enum.
constexpr std::size_t kMaxNameBytes = 400;    // Of a property beside additionalProperties.

// Which keywords speak of which type of value. Those of all types have none.
struct Keyword {
  std::string_view name, type;
};
constexpr auto kKeywords = std::to_array<Keyword>({
    {"type", ""},
    {"enum", ""},
    {"const", ""},
    {"anyOf", ""},
    {"oneOf", ""},
    {"allOf", ""},
    {"$ref", ""},
    {"properties", "object"},
    {"required", "object"},
    {"additionalProperties", "object"},
    {"items", "array"},
    {"prefixItems", "array"},
    {"minItems", "array"},
    {"maxItems", "array"},
    {"minLength", "string"},
    {"maxLength", "string"},
    {"pattern", "string"},
    {"format", "string"},
    {"minimum", "number"},
    {"maximum", "number"},
    {"exclusiveMinimum", "number"},
    {"exclusiveMaximum", "number"},
});
constexpr std::array<std::string_view, 7> kTypes{"object",  "array",   "string", "number",
                                                 "integer", "boolean", "null"};

// Keywords that say nothing with this value.
bool says_nothing(const std::string& key, const OrderedJson& value) {
  return key == "uniqueItems" && value == false;
}

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const OrderedJson& root) : root_(root) {}

  std::string compile() {
    const std::string name = expression(root_, "#");
    rules_.define("root", name);
    return rules_.text();
  }

 private:
  [[noreturn]] static void fail(const std::string& pointer, const std::string& sentence) {
    throw Error(ErrorCode::kBadArgument, schema_place(pointer) + sentence);
  }
  [[noreturn]] static void fail_nothing(const std::string& pointer) {
    throw NothingSatisfies(schema_place(pointer) +
                           "found that no JSON value satisfies this schema, expected some that do");
  }

  // One schema as an expression: the name of a rule.
  std::string expression(const OrderedJson& schema, const std::string& pointer) {
    if (++looked_at_ > kMaxSchemas || depth_ == kMaxDepth) {
      throw Error(ErrorCode::kLimit, schema_place(pointer) + "more than " +
                                         std::to_string(kMaxSchemas) + " schemas or " +
                                         std::to_string(kMaxDepth) +
                                         " levels found, expected a smaller schema");
    }
    if (schema == true) return rules_.builtin("value");
    if (schema == false) fail_nothing(pointer);
    if (!schema.is_object()) {
      fail(pointer, std::string("found ") + schema.type_name() +
                        " as a schema, expected an object, true or false");
    }
    ++depth_;
    std::string out = object_expression(schema, pointer);
    --depth_;
    return out;
  }

  std::string object_expression(const OrderedJson& schema, const std::string& pointer) {
    check_keywords(schema, pointer);
    if (schema.contains("$ref")) return reference(schema, pointer);
    for (const char* key : {"anyOf", "oneOf"}) {
      if (schema.contains(key)) return any_of(schema, key, pointer);
    }
    if (schema.contains("allOf")) return all_of(schema, pointer);
    if (schema.contains("enum") || schema.contains("const")) return values(schema, pointer);
    const std::vector<std::string> types = types_of(schema, pointer);
    if (types.empty()) return rules_.builtin("value");
    std::string body;
    for (const std::string& type : types) {
      body += (body.empty() ? "" : " | ") + of_type(type, schema, pointer);
    }
    return types.size() == 1 ? body : rules_.add(hint(pointer), body);
  }

  static void check_keywords(const OrderedJson& schema, const std::string& pointer) {
    for (const auto& [key, value] : schema.items()) {
      const bool known =
          is_annotation(key) || says_nothing(key, value) ||
          std::ranges::find(kKeywords, std::string_view(key), &Keyword::name) != kKeywords.end();
      if (known) continue;
      std::string names;
      for (const Keyword& keyword : kKeywords) {
        names += (names.empty() ? "" : ", ") + std::string(keyword.name);
      }
      throw Error(ErrorCode::kUnsupported, schema_place(pointer) + "keyword '" + key +
                                               "' found, which is not supported, expected " +
                                               names);
    }
  }

  static std::string hint(const std::string& pointer) { return pointer.substr(1); }

  // The schema without some keywords and without annotations.
  static OrderedJson without(const OrderedJson& schema, std::string_view left_out) {
    OrderedJson out = OrderedJson::object();
    for (const auto& [key, value] : schema.items()) {
      if (key != left_out && !is_annotation(key)) out[key] = value;
    }
    return out;
  }

  // $ref: one rule per target, so that a schema may name itself.
  std::string reference(const OrderedJson& schema, const std::string& pointer) {
    const OrderedJson rest = without(schema, "$ref");
    if (!rest.empty()) {
      return expression(expanded(schema, pointer), pointer);
    }
    const std::string target = reference_text(schema, pointer);
    const auto known = references_.find(target);
    if (known != references_.end()) return known->second;
    const OrderedJson& found = resolve(target, pointer);
    const std::string name = rules_.reserve("ref-" + target.substr(target.rfind('/') + 1));
    references_.emplace(target, name);
    try {
      rules_.define(name, expression(found, target));
    } catch (const NothingSatisfies&) {
      rules_.define(name, R"([^\x00-\U0010FFFF])");  // It may have been named inside of itself.
      throw;
    }
    return name;
  }

  static std::string reference_text(const OrderedJson& schema, const std::string& pointer) {
    const OrderedJson& ref = schema.at("$ref");
    if (!ref.is_string() || (ref != "#" && !ref.get<std::string>().starts_with("#/"))) {
      throw Error(ErrorCode::kUnsupported, schema_place(pointer) + "$ref " + shown(ref) +
                                               " found, expected one inside the schema, as "
                                               "\"#/$defs/name\"");
    }
    return ref.get<std::string>();
  }

  // A schema whose $ref is replaced by what it names, merged with what stands beside it.
  OrderedJson expanded(const OrderedJson& schema, const std::string& pointer) {
    OrderedJson out = schema;
    for (std::size_t steps = 0; out.is_object() && out.contains("$ref"); ++steps) {
      if (steps == kMaxDepth) fail(pointer, "a circle of $ref found, expected an end of it");
      const std::string target = reference_text(out, pointer);
      const OrderedJson rest = without(out, "$ref");
      OrderedJson found = resolve(target, pointer);
      // A $ref behind the $ref comes next.
      if (found.is_object() && found.contains("$ref")) {
        const std::string next = reference_text(found, target);
        OrderedJson merged = merge_schemas(without(found, "$ref"), rest, pointer);
        if (merged.is_boolean()) return merged;
        merged["$ref"] = next;
        out = std::move(merged);
      } else {
        out = merge_schemas(found.is_object() ? without(found, "") : found, rest, pointer);
      }
    }
    return out;
  }

  const OrderedJson& resolve(const std::string& target, const std::string& pointer) const {
    const OrderedJson* at = &root_;
    for (std::size_t i = 1; i < target.size();) {
      const std::size_t end = std::min(target.find('/', i + 1), target.size());
      const std::string part = pointer_part(target.substr(i + 1, end - i - 1));
      const OrderedJson* next = nullptr;
      if (at->is_object()) {
        const auto it = at->find(part);
        if (it != at->end()) next = &*it;
      } else if (at->is_array() && !part.empty() && part.size() < 6 &&
                 part.find_first_not_of("0123456789") == std::string::npos) {
        const auto index = static_cast<std::size_t>(std::stoul(part));
        if (index < at->size()) next = &(*at)[index];
      }
      if (next == nullptr) fail(pointer, "$ref '" + target + "' found, which names nothing");
      at = next;
      i = end;
    }
    return *at;
  }
  // Undoes ~0, ~1 and percent escapes.
  static std::string pointer_part(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '%' && i + 2 < text.size() &&
          text.find_first_not_of("0123456789abcdefABCDEF", i + 1) > i + 2) {
        out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
        i += 2;
      } else {
        out += text[i];
      }
    }
    for (const auto& [from, to] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}}) {
      for (std::size_t at = 0; (at = out.find(from, at)) != std::string::npos; ++at) {
        out.replace(at, 2, to);
      }
    }
    return out;
  }

  std::string all_of(const OrderedJson& schema, const std::string& pointer) {
    OrderedJson merged = without(schema, "allOf");
    // One alone may name itself, which merging could never end.
    if (merged.empty() && branches(schema, "allOf", pointer).size() == 1) {
      return expression(schema.at("allOf")[0], pointer + "/allOf/0");
    }
    for (const OrderedJson& part : branches(schema, "allOf", pointer)) {
      if (++looked_at_ > kMaxSchemas) break;  // expression() says so.
      if (part.is_object()) check_keywords(part, pointer + "/allOf");
      OrderedJson one = expanded(part, pointer);
      if (one.is_object()) one = without(one, "");
      merged = merge_schemas(merged, one, pointer);
    }
    return expression(merged, pointer);
  }

  std::string any_of(const OrderedJson& schema, const char* key, const std::string& pointer) {
    const OrderedJson base = without(schema, key);
    std::string body;
    std::size_t number = 0;
    for (const OrderedJson& branch : branches(schema, key, pointer)) {
      const std::string at = pointer + "/" + key + "/" + std::to_string(number++);
      if (branch.is_object()) check_keywords(branch, at);
      const std::size_t depth = depth_;
      try {
        const std::string one = base.empty()
                                    ? expression(branch, at)
                                    : expression(merge_schemas(base, expanded(branch, at), at), at);
        body += (body.empty() ? "" : " | ") + one;
      } catch (const NothingSatisfies&) {
        depth_ = depth;  // The other branches are left.
      }
    }
    if (body.empty()) fail_nothing(pointer);
    return rules_.add(hint(pointer), body);
  }

  static const OrderedJson& branches(const OrderedJson& schema, const char* key,
                                     const std::string& pointer) {
    const OrderedJson& list = schema.at(key);
    if (!list.is_array() || list.empty()) {
      fail(pointer, std::string("'") + key + "' is " + shown(list) +
                        ", expected an array of at least one schema");
    }
    return list;
  }

  static std::string shown(const OrderedJson& json) {
    const std::string text = dump_ordered_json(json);
    return text.size() > 60 ? valid_utf8(text.substr(0, 57)) + "..." : text;
  }

  static std::vector<std::string> types_of(const OrderedJson& schema, const std::string& pointer) {
    std::vector<std::string> types;
    const auto put = [&](std::string_view type) {
      if (std::ranges::find(types, type) == types.end()) types.emplace_back(type);
    };
    const auto given = schema.find("type");
    if (given == schema.end()) {  // What the keywords speak of.
      for (const Keyword& keyword : kKeywords) {
        if (!keyword.type.empty() && schema.contains(std::string(keyword.name))) put(keyword.type);
      }
      return types;
    }
    const OrderedJson list = given->is_array() ? *given : OrderedJson::array({*given});
    if (list.empty()) fail(pointer, "'type' is [], expected at least one type");
    for (const OrderedJson& type : list) {
      const auto known =
          type.is_string() ? std::ranges::find(kTypes, type.get<std::string>()) : kTypes.end();
      if (known == kTypes.end()) {
        fail(pointer, "type " + shown(type) +
                          " found, expected object, array, string, number, integer, boolean or "
                          "null");
      }
      put(*known);
    }
    return types;
  }

  static bool has_type(const OrderedJson& value, const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "number") return value.is_number();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    return value.is_number_integer() ||
           (value.is_number() && std::floor(value.get<double>()) == value.get<double>());
  }

  // enum and const: the values themselves.
  std::string values(const OrderedJson& schema, const std::string& pointer) {
    for (const auto& [key, value] : schema.items()) {
      const auto keyword = std::ranges::find(kKeywords, std::string_view(key), &Keyword::name);
      if (keyword != kKeywords.end() && !keyword->type.empty()) {
        throw Error(ErrorCode::kUnsupported, schema_place(pointer) + "keyword '" + key +
                                                 "' found beside enum or const, expected 'type' "
                                                 "alone");
      }
    }
    OrderedJson list = OrderedJson::array();
    if (schema.contains("enum")) {
      list = schema.at("enum");
      if (!list.is_array() || list.empty() || list.size() > kMaxValues) {
        fail(pointer, "'enum' is " + shown(list) + ", expected an array of 1 to " +
                          std::to_string(kMaxValues) + " values");
      }
    } else {
      list.push_back(schema.at("const"));
    }
    const std::vector<std::string> types = types_of(schema, pointer);
    std::string body;
    for (const OrderedJson& value : list) {
      if (schema.contains("const") && value != schema.at("const")) continue;
      const bool fits = types.empty() || std::ranges::any_of(types, [&](const std::string& type) {
                          return has_type(value, type);
                        });
      if (fits) body += (body.empty() ? "" : " | ") + gbnf_literal(dump_ordered_json(value));
    }
    if (body.empty()) fail_nothing(pointer);
    return rules_.add(hint(pointer), body);
  }

  std::string of_type(const std::string& type, const OrderedJson& schema,
                      const std::string& pointer) {
    if (type == "object") return object(schema, pointer);
    if (type == "array") return array(schema, pointer);
    if (type == "string") return string(schema, pointer);
    if (type == "number" || type == "integer") return number(type == "integer", schema, pointer);
    return rules_.builtin(type);
  }

  // A whole number of 0 or more.
  static std::optional<std::uint64_t> count(const OrderedJson& schema, const char* key,
                                            const std::string& pointer) {
    const auto it = schema.find(key);
    if (it == schema.end()) return std::nullopt;
    if (it->is_number_unsigned())
      return std::min<std::uint64_t>(it->get<std::uint64_t>(), 1u << 30);
    const bool whole = it->is_number_float() && it->get<double>() >= 0 && it->get<double>() < 1e9 &&
                       std::floor(it->get<double>()) == it->get<double>();
    if (!whole) {
      fail(pointer, std::string("'") + key + "' is " + shown(*it) +
                        ", expected a whole number of 0 or more");
    }
    return static_cast<std::uint64_t>(it->get<double>());
  }

  std::string string(const OrderedJson& schema, const std::string& pointer) {
    const auto min = count(schema, "minLength", pointer), max = count(schema, "maxLength", pointer);
    const bool pattern = schema.contains("pattern"), format = schema.contains("format");
    if (pattern + format + (min || max) > 1) {
      throw Error(ErrorCode::kUnsupported,
                  schema_place(pointer) +
                      "keyword 'pattern' or 'format' found beside another one for strings, "
                      "expected only one of pattern, format and lengths");
    }
    if (pattern || format) {
      const char* key = pattern ? "pattern" : "format";
      const OrderedJson& value = schema.at(key);
      if (!value.is_string()) {
        fail(pointer, std::string("'") + key + "' is " + shown(value) + ", expected a string");
      }
      return rules_.add(hint(pointer), pattern ? from_pattern(value.get<std::string>(), pointer)
                                               : from_format(value.get<std::string>(), pointer));
    }
    if (!min && !max) return rules_.builtin("string");
    if (max && *max < min.value_or(0)) fail_nothing(pointer);
    return rules_.add(hint(pointer), R"("\"" )" + rules_.builtin("char") +
                                         gbnf_repeat(min.value_or(0), max.value_or(kUnbounded)) +
                                         R"( "\"")");
  }
  std::string from_pattern(const std::string& pattern, const std::string& pointer) {
    try {
      return string_pattern(pattern, rules_);
    } catch (const Error& e) {
      throw with_context("JSON schema: " + pointer, e);
    }
  }
  static std::string from_format(const std::string& format, const std::string& pointer) {
    std::string body = string_format(format);
    if (body.empty()) {
      throw Error(ErrorCode::kUnsupported, schema_place(pointer) + "format '" + format +
                                               "' found, which is not supported, expected " +
                                               string_format_names());
    }
    return body;
  }

  // A bound of numbers, if it is there.
  static std::optional<double> bound(const OrderedJson& schema, const char* key,
                                     const std::string& pointer) {
    const auto it = schema.find(key);
    if (it == schema.end()) return std::nullopt;
    constexpr double kLargest = 9e15;  // Whole numbers up to here are exact.
    if (!it->is_number() || !(std::abs(it->get<double>()) <= kLargest)) {
      fail(pointer, std::string("'") + key + "' is " + shown(*it) +
                        ", expected a number from -9e15 to 9e15");
    }
    return it->get<double>();
  }

  std::string number(bool integer, const OrderedJson& schema, const std::string& pointer) {
    const auto min = bound(schema, "minimum", pointer), max = bound(schema, "maximum", pointer);
    const auto above = bound(schema, "exclusiveMinimum", pointer);
    const auto below = bound(schema, "exclusiveMaximum", pointer);
    IntegerBounds b;
    b.has_low = min || above;
    b.has_high = max || below;
    if (!b.has_low && !b.has_high) return rules_.builtin(integer ? "integer" : "number");
    b.low_exclusive = above && (!min || *above >= *min);
    b.high_exclusive = below && (!max || *below <= *max);
    const double low = b.low_exclusive ? *above : min.value_or(0);
    const double high = b.high_exclusive ? *below : max.value_or(0);
    if (integer) {
      b.low = static_cast<std::int64_t>(b.low_exclusive ? std::floor(low) + 1 : std::ceil(low));
      b.high = static_cast<std::int64_t>(b.high_exclusive ? std::ceil(high) - 1 : std::floor(high));
    } else {
      check_real_bounds(b, low, high, pointer);
      b.low = static_cast<std::int64_t>(low);
      b.high = static_cast<std::int64_t>(high);
    }
    const bool empty =
        b.low > b.high || (!integer && b.low == b.high && (b.low_exclusive || b.high_exclusive));
    if (b.has_low && b.has_high && empty) fail_nothing(pointer);
    return rules_.add(hint(pointer), integer ? integer_between(b) : number_between(b));
  }
  static void check_real_bounds(const IntegerBounds& b, double low, double high,
                                const std::string& pointer) {
    constexpr double kLargest = 1e9;  // Six decimals are exact enough.
    for (const double x : {b.has_low ? low : 0, b.has_high ? high : 0}) {
      if (std::floor(x) == x && std::abs(x) <= kLargest) continue;
      throw Error(ErrorCode::kUnsupported,
                  schema_place(pointer) + "a bound " + shown(OrderedJson(x)) +
                      " of a number found, expected a whole one of at most 1e9");
    }
  }

  std::string array(const OrderedJson& schema, const std::string& pointer) {
    const auto min_given = count(schema, "minItems", pointer);
    const auto max_given = count(schema, "maxItems", pointer);
    std::vector<std::string> first;
    if (schema.contains("prefixItems")) {
      const OrderedJson& list = branches(schema, "prefixItems", pointer);
      for (std::size_t i = 0; i < list.size(); ++i) {
        first.push_back(expression(list[i], pointer + "/prefixItems/" + std::to_string(i)));
      }
    }
    const std::uint64_t fixed = first.size(), min = min_given.value_or(0);
    std::uint64_t max = max_given.value_or(kUnbounded);
    const auto items = schema.find("items");
    if (items != schema.end() && *items == false) max = std::min(max, fixed);
    if (max < min) fail_nothing(pointer);
    std::string item = rules_.builtin("value");
    if (items != schema.end() && max > fixed) item = expression(*items, pointer + "/items");
    const std::string ws = rules_.builtin("ws");
    const std::string empty = "\"[\" " + ws + " \"]\"";
    if (max == 0) return rules_.add(hint(pointer), empty);

    // From the last fixed element to the first: what may follow it.
    const auto some = [&](std::uint64_t taken) {
      if (max <= taken) return std::string();
      const std::uint64_t least = min > taken ? min - taken : 0;
      return " (\",\" " + ws + " " + item + ")" +
             gbnf_repeat(least, max == kUnbounded ? kUnbounded : max - taken);
    };
    std::string body;
    if (fixed == 0) {
      body = item + some(1);
    } else {
      std::string tail = some(fixed);
      for (std::size_t i = first.size(); i-- > 1;) {
        if (max <= i) {
          tail = "";
          continue;
        }
        const std::string one = "\",\" " + ws + " " + first[i] + tail;
        tail = " " + rules_.add(hint(pointer) + "-more", min > i ? one : "(" + one + ")?");
      }
      body = first[0] + tail;
    }
    const std::string full = "\"[\" " + ws + " " + body + " " + ws + " \"]\"";
    return rules_.add(hint(pointer), min == 0 ? empty + " | " + full : full);
  }

  struct Member {
    std::string name, value;
    bool required = false;
  };

  std::string object(const OrderedJson& schema, const std::string& pointer) {
    std::vector<Member> members;
    std::vector<std::string> taken;  // Names that additional properties may not have.
    std::optional<std::string> more;
    collect_members(schema, pointer, members, taken, more);
    const std::string ws = rules_.builtin("ws");
    std::string tail, some;  // What may follow a member; members from here on, at least one.
    bool may_be_empty = true;
    if (more) {
      const std::string key = taken.empty() ? rules_.builtin("string") : other_key(taken, pointer);
      const std::string one =
          rules_.add(hint(pointer) + "-other", key + " \":\" " + ws + " " + *more);
      tail = "(\",\" " + ws + " " + one + ")*";
      some = one + " " + tail;
    }
    for (std::size_t i = members.size(); i-- > 0;) {
      const Member& member = members[i];
      const std::string at = hint(pointer) + "-" + member.name;
      const std::string one =
          rules_.add(at, gbnf_literal(dump_ordered_json(OrderedJson(member.name)) + ":") + " " +
                             ws + " " + member.value);
      const std::string from_here = tail.empty() ? one : one + " " + tail;
      const bool skippable = !member.required && !some.empty();
      some = rules_.add(at + "-from", skippable ? from_here + " | " + some : from_here);
      const std::string next = "\",\" " + ws + " " + one;
      const std::string rest = tail.empty() ? "" : " " + tail;
      tail = rules_.add(at + "-then", (member.required ? next : "(" + next + ")?") + rest);
      may_be_empty = may_be_empty && !member.required;
    }
    if (some.empty()) return rules_.add(hint(pointer), "\"{\" " + ws + " \"}\"");
    some += " " + ws;
    return rules_.add(hint(pointer),
                      "\"{\" " + ws + " " + (may_be_empty ? "(" + some + ")?" : some) + " \"}\"");
  }

  void collect_members(const OrderedJson& schema, const std::string& pointer,
                       std::vector<Member>& members, std::vector<std::string>& taken,
                       std::optional<std::string>& more) {
    const OrderedJson properties = schema.value("properties", OrderedJson::object());
    if (!properties.is_object() || properties.size() > kMaxProperties) {
      fail(pointer, "'properties' is " + shown(properties) + ", expected an object of at most " +
                        std::to_string(kMaxProperties) + " schemas");
    }
    std::vector<std::string> required = required_names(schema, pointer);
    const auto given = schema.find("additionalProperties");
    const bool open = given == schema.end() ? properties.empty() : *given != false;
    for (const auto& [name, property] : properties.items()) {
      const std::string at = pointer + "/properties/" + escaped(name);
      const auto need = std::ranges::find(required, name);
      const bool is_required = need != required.end();
      if (is_required) required.erase(need);
      taken.push_back(name);
      const std::size_t depth = depth_;
      try {
        members.push_back({name, expression(property, at), is_required});
      } catch (const NothingSatisfies&) {
        if (is_required) throw;
        depth_ = depth;
      }
    }
    if (!required.empty() && given != schema.end() && *given == false) {
      fail(pointer, "'required' names '" + required[0] +
                        "', which is no property, expected only properties where "
                        "additionalProperties is false");
    }
    if (open || !required.empty()) {
      more = given == schema.end() ? rules_.builtin("value")
                                   : expression(*given, pointer + "/additionalProperties");
    }
    for (const std::string& name : required) {
      members.push_back({name, *more, true});
      taken.push_back(name);
    }
    if (!open) more.reset();
  }

  static std::string escaped(const std::string& name) {
    std::string out;
    for (const char c : name) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    return out;
  }

  static std::vector<std::string> required_names(const OrderedJson& schema,
                                                 const std::string& pointer) {
    std::vector<std::string> out;
    const auto list = schema.find("required");
    if (list == schema.end()) return out;
    if (!list->is_array() || list->size() > kMaxProperties) {
      fail(pointer, "'required' is " + shown(*list) + ", expected an array of at most " +
                        std::to_string(kMaxProperties) + " names");
    }
    for (const OrderedJson& name : *list) {
      if (!name.is_string()) fail(pointer, "'required' holds " + shown(name) + ", expected names");
      const auto text = name.get<std::string>();
      if (std::ranges::find(out, text) == out.end()) out.push_back(text);
    }
    return out;
  }

  // Names, character by character, for keys that must be none of them.
  struct NameTree {
    bool ends = false;
    std::map<std::uint32_t, NameTree> next;
  };

  // A key that is none of `taken`. It has no escapes, so that a name cannot be spelt another way.
  std::string other_key(const std::vector<std::string>& taken, const std::string& pointer) {
    NameTree tree;
    for (const std::string& name : taken) {
      if (name.size() > kMaxNameBytes) {
        throw Error(ErrorCode::kLimit,
                    schema_place(pointer) + "a property's name of " + std::to_string(name.size()) +
                        " bytes found beside additionalProperties, expected at most " +
                        std::to_string(kMaxNameBytes));
      }
      NameTree* at = &tree;
      for (std::size_t i = 0; i < name.size();) {
        const Utf8Char c = next_char(name, i);
        at = &at->next[c.code_point];
        i += c.size;
      }
      at->ends = true;
    }
    return R"("\"" )" + other_text(tree) + R"( "\"")";
  }

  std::string other_text(const NameTree& tree) {
    const std::string plain = rules_.builtin("plain");
    std::string body;
    std::string others = R"([^"\\\x00-\x1F)";
    for (const auto& [c, next] : tree.next) {
      if (c < 0x20 || c == '"' || c == '\\') continue;  // Never without an escape.
      std::string text;
      append_utf8(text, c);
      body += gbnf_literal(text) + " " + other_text(next) + " | ";
      others += c == '[' || c == ']'   ? "\\" + text
                : c == '-' || c == '^' ? (c == '-' ? "\\x2D" : "\\x5E")
                                       : text;
    }
    body += others + "] " + plain + "*";
    if (!tree.ends) body += " | \"\"";
    return rules_.add("key", body);
  }

  const OrderedJson& root_;
  Rules rules_;
  std::map<std::string, std::string> references_;  // $ref to the rule of its target.
  std::size_t looked_at_ = 0, depth_ = 0;
};

}  // namespace

std::string json_schema_to_gbnf(const OrderedJson& schema) {
  return SchemaCompiler(schema).compile();
}

std::shared_ptr<const Grammar> json_schema_to_grammar(const OrderedJson& schema) {
  const std::string gbnf = json_schema_to_gbnf(schema);
  try {
    return make_grammar(gbnf);
  } catch (const Error& e) {
    throw with_context("JSON schema", e);
  }
}

std::shared_ptr<const Grammar> json_object_grammar() {
  return json_schema_to_grammar(OrderedJson{{"type", "object"}});
}

}  // namespace tern::grammar
