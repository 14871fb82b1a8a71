// Filters of one value: texts, numbers, JSON. Those of sequences are in sequence_filters.cpp.
#include "tern/jinja/filters.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "tern/base/utf8.h"
#include "tern/jinja/builtins.h"
#include "tern/jinja/operators.h"
#include "tern/jinja/python_text.h"

namespace tern::jinja {
namespace {

using Bound = std::vector<std::optional<Value>>;

Value alike(Renderer& renderer, const Value& input, std::string made) {
  renderer.make_room(made.size());
  return input.is_markup() ? Value::markup(std::move(made)) : Value::text(std::move(made));
}

template <std::string (*kChange)(std::string_view)>
Value change(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "this filter", arguments, {});
  const std::string text = to_text(renderer, input);
  renderer.step(text.size() / 8);
  return alike(renderer, input, kChange(text));
}

Value title(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "title", arguments, {});
  const std::string text = to_text(renderer, input);
  renderer.step(text.size() / 8);
  std::string out;
  bool fresh = true;  // At the beginning of a word, or of what parts words.
  bool parting = false;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = next_char(text, i);
    const bool parts =
        is_space(c.code_point) ||
        (c.code_point < 0x80 &&
         std::string_view("-({[<").find(static_cast<char>(c.code_point)) != std::string_view::npos);
    if (parts != parting) fresh = true;
    const std::string one = text.substr(i, c.size);
    out += fresh ? to_upper(one) : to_lower(one);
    fresh = false;
    parting = parts;
    i += c.size;
  }
  return renderer.text(std::move(out));
}

Value trim(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "trim", arguments, {"chars"});
  std::optional<std::string> chars;
  if (bound[0] && !bound[0]->is_none()) {
    chars = text_argument(renderer, *bound[0], "the argument of trim");
  }
  const std::string text = to_text(renderer, input);
  renderer.step((text.size() + 1) * (chars ? chars->size() / 16 + 1 : 1) / 64);
  return alike(renderer, input, std::string(rstrip(lstrip(text, chars), chars)));
}

Value replace_filter(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "replace", arguments, {"old", "new", "count"}, 2);
  const bool counted = bound[2] && !bound[2]->is_none();
  return replaced(renderer, to_text(renderer, input), to_text(renderer, *bound[0]),
                  to_text(renderer, *bound[1]),
                  counted ? int_argument(renderer, *bound[2], "the count of replace") : -1);
}

Value indent(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "indent", arguments, {"width", "first", "blank"});
  std::string before(4, ' ');
  if (bound[0] && bound[0]->is_string()) {
    before = bound[0]->as_string();
  } else if (bound[0]) {
    const std::int64_t width = int_argument(renderer, *bound[0], "the width of indent");
    renderer.make_room(static_cast<std::uint64_t>(std::max<std::int64_t>(width, 0)));
    before.assign(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
  }
  const bool first = bound[1] && truth(*bound[1]);
  const bool blank = bound[2] && truth(*bound[2]);
  const std::string text = text_argument(renderer, input, "the input of indent");
  const std::vector<std::string> lines = splitlines(text + "\n", false);
  renderer.step(text.size() / 8 + lines.size());
  std::string out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const bool indented = i == 0 ? first : blank || !lines[i].empty();
    renderer.make_room(out.size() / 64 + lines[i].size() + before.size() + 1);
    if (i > 0) out += '\n';
    if (indented) out += before;
    out += lines[i];
  }
  return alike(renderer, input, std::move(out));
}

Value string_filter(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "string", arguments, {});
  return input.is_string() ? input : renderer.text(to_text(renderer, input));
}

Value safe(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "safe", arguments, {});
  return Value::markup(to_text(renderer, input));
}

Value escape(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "escape", arguments, {});
  if (input.is_markup()) return input;
  std::string made = escape_html(to_text(renderer, input));
  renderer.make_room(made.size());
  return Value::markup(std::move(made));
}

Value default_filter(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "default", arguments, {"default_value", "boolean"});
  const bool also_false = bound[1] && truth(*bound[1]);
  if (input.is_undefined() || (also_false && !truth(input))) {
    return bound[0].value_or(Value::text(""));
  }
  return input;
}

Value whole(Renderer& renderer, double value) {
  if (!std::isfinite(value) || std::fabs(value) >= 9.2e18) {
    renderer.fail("a number as large as " + float_repr(value) + " as a whole one is not known",
                  ErrorCode::kUnsupported);
  }
  return Value::integer(static_cast<std::int64_t>(value));
}

Value int_filter(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "int", arguments, {"default", "base"});
  if (bound[1] && int_argument(renderer, *bound[1], "the base of int") != 10) {
    renderer.fail("a base of int other than 10 is not known", ErrorCode::kUnsupported);
  }
  const Value otherwise = bound[0].value_or(Value::integer(0));
  if (input.is_undefined()) renderer.fail(input.why());
  if (input.is_string()) {
    if (const auto read = parse_int(input.as_string())) return Value::integer(*read);
    const auto number = parse_float(input.as_string());
    return number && !std::isnan(*number) ? whole(renderer, *number) : otherwise;
  }
  if (!input.is_number()) return otherwise;
  if (input.kind() != Kind::kFloat) return Value::integer(input.as_int());
  return std::isnan(input.as_double()) ? otherwise : whole(renderer, input.as_double());
}

Value float_filter(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "float", arguments, {"default"});
  if (input.is_undefined()) renderer.fail(input.why());
  if (input.is_number()) return Value::number(input.as_double());
  if (input.is_string()) {
    if (const auto read = parse_float(input.as_string())) return Value::number(*read);
  }
  return bound[0].value_or(Value::number(0));
}

Value abs_filter(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "abs", arguments, {});
  if (!input.is_number()) renderer.fail("bad operand type for abs(): '" + type_name(input) + "'");
  if (input.kind() == Kind::kFloat) return Value::number(std::fabs(input.as_double()));
  return input.as_int() < 0 ? negative(renderer, input) : Value::integer(input.as_int());
}

Value round_filter(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "round", arguments, {"precision", "method"});
  const std::int64_t digits =
      bound[0] ? int_argument(renderer, *bound[0], "the precision of round") : 0;
  const std::string method =
      bound[1] ? text_argument(renderer, *bound[1], "the method of round") : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    renderer.fail("the method of round is '" + method + "', expected common, ceil or floor");
  }
  if (digits < 0 || digits > 22) {
    renderer.fail(
        "a precision of round of " + std::to_string(digits) + " is not known, expected 0 to 22",
        ErrorCode::kUnsupported);
  }
  if (input.is_undefined()) renderer.fail(input.why());
  if (!input.is_number()) renderer.fail("round of a " + type_name(input));
  const double value = input.as_double();
  if (method == "common") {
    if (input.kind() != Kind::kFloat) return Value::integer(input.as_int());
    char shown[400];  // The C library rounds as Python does: the exact value, ties to even.
    std::snprintf(shown, sizeof shown, "%.*f", static_cast<int>(digits), value);
    return Value::number(std::strtod(shown, nullptr));
  }
  if (!std::isfinite(value)) renderer.fail("cannot round " + float_repr(value) + " up or down");
  double power = 1;
  for (std::int64_t i = 0; i < digits; ++i) power *= 10;
  const double scaled = value * power;
  return Value::number((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / power);
}

Value tojson(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound =
      bind(renderer, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound[0] && truth(*bound[0]);
  style.sort_keys = bound[3] && truth(*bound[3]);
  if (bound[1] && !bound[1]->is_none()) {
    style.comma = ",";
    if (bound[1]->is_string()) {
      style.indent = bound[1]->as_string();
    } else {
      const std::int64_t width = int_argument(renderer, *bound[1], "the indent of tojson");
      renderer.make_room(static_cast<std::uint64_t>(std::max<std::int64_t>(width, 0)));
      style.indent = std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
    }
  }
  if (bound[2] && !bound[2]->is_none()) {
    const std::vector<Value> both = renderer.items(*bound[2]);
    if (both.size() != 2) renderer.fail("the separators of tojson are not two");
    style.comma = text_argument(renderer, both[0], "a separator of tojson");
    style.colon = text_argument(renderer, both[1], "a separator of tojson");
  }
  return Value::text(to_json(renderer, input, style));
}

constexpr FilterRow kFilters[] = {{"abs", abs_filter},
                                  {"capitalize", change<capitalize>},
                                  {"d", default_filter},
                                  {"default", default_filter},
                                  {"e", escape},
                                  {"escape", escape},
                                  {"float", float_filter},
                                  {"indent", indent},
                                  {"int", int_filter},
                                  {"lower", change<to_lower>},
                                  {"replace", replace_filter},
                                  {"round", round_filter},
                                  {"safe", safe},
                                  {"string", string_filter},
                                  {"title", title},
                                  {"tojson", tojson},
                                  {"trim", trim},
                                  {"upper", change<to_upper>}};

}  // namespace

FilterFunction find_filter(std::string_view name) {
  const auto row = std::ranges::find(kFilters, name, &FilterRow::name);
  if (row != std::end(kFilters)) return row->filter;
  for (const FilterRow& other : sequence_filters()) {
    if (other.name == name) return other.filter;
  }
  return nullptr;
}

}  // namespace tern::jinja
