// What Python's operators do with values. All throw by Renderer::fail for types that do not fit.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tern/jinja/renderer.h"
#include "tern/jinja/syntax.h"
#include "tern/jinja/value.h"

namespace tern::jinja {

std::string type_name(const Value& value);  // As type(value).__name__.

bool truth(const Value& value);
bool equal(Renderer& renderer, const Value& a, const Value& b);
bool less(Renderer& renderer, const Value& a, const Value& b, std::string_view shown = "<");
bool holds(Renderer& renderer, const Value& container, const Value& item);  // item in container
bool compare_by(Renderer& renderer, Operator op, const Value& a, const Value& b);
Value arithmetic(Renderer& renderer, Operator op, const Value& a, const Value& b);
Value negative(Renderer& renderer, const Value& value);
Value positive(Renderer& renderer, const Value& value);

std::int64_t length(Renderer& renderer, const Value& value);
// value.name and value[index] by Jinja2's rules: attribute and element stand in for each other;
// what is not there is undefined.
Value attribute(Renderer& renderer, const Value& value, std::string_view name);
Value element(Renderer& renderer, const Value& value, const Value& index);
Value slice(Renderer& renderer, const Value& value, const Value& start, const Value& stop,
            const Value& step);

// str(), repr() and json.dumps().
std::string to_text(Renderer& renderer, const Value& value);
std::string to_repr(Renderer& renderer, const Value& value);
struct JsonStyle {
  std::optional<std::string> indent;  // Of one level.
  std::string comma = ", ";
  std::string colon = ": ";
  bool ensure_ascii = false;
  bool sort_keys = false;
};
std::string to_json(Renderer& renderer, const Value& value, const JsonStyle& style);

}  // namespace tern::jinja
