// The global functions.
#include <algorithm>
#include <ctime>

#include "tern/jinja/builtins.h"
#include "tern/jinja/operators.h"

namespace tern::jinja {
namespace {

Value range(Renderer& renderer, const Arguments& arguments) {
  constexpr std::int64_t kMost = 100'000;  // As the sandbox allows.
  const std::size_t given = arguments.values.size();
  if (given < 1 || given > 3 || !arguments.named.empty())
    renderer.fail("range takes 1 to 3 numbers");
  std::int64_t at[3] = {0, 0, 1};
  for (std::size_t i = 0; i < given; ++i) {
    at[given == 1 ? 1 : i] = int_argument(renderer, arguments.values[i], "an argument of range");
  }
  const std::int64_t step = at[2];
  if (step == 0) renderer.fail("range() arg 3 must not be zero");
  std::vector<Value> items;
  for (std::int64_t i = at[0]; step > 0 ? i < at[1] : i > at[1];) {
    if (static_cast<std::int64_t>(items.size()) == kMost) {
      renderer.fail("range too big: the sandbox blocks ranges larger than " +
                    std::to_string(kMost));
    }
    renderer.step();
    items.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::sequence(SequenceKind::kRange, std::move(items));
}

// What dict(...) and namespace(...) are given: a dict, then names.
Dict dict_of(Renderer& renderer, const Arguments& arguments, std::string_view what) {
  Dict made;
  if (arguments.values.size() > 1) renderer.fail(std::string(what) + " takes at most one dict");
  if (!arguments.values.empty()) {
    if (arguments.values[0].kind() != Kind::kDict) {
      renderer.fail(std::string(what) + " of a " + type_name(arguments.values[0]) + " is not known",
                    ErrorCode::kUnsupported);
    }
    made = arguments.values[0].as_dict();
    renderer.step(made.size());
  }
  for (const auto& [name, value] : arguments.named) made.set(name, value);
  return made;
}

Value dict(Renderer& renderer, const Arguments& arguments) {
  return Value::dict(dict_of(renderer, arguments, "dict"));
}

Value namespace_of(Renderer& renderer, const Arguments& arguments) {
  Dict attributes = dict_of(renderer, arguments, "namespace");
  const auto made = renderer.new_namespace();
  made->attributes = std::move(attributes);
  return Value::object(made);
}

Value raise_exception(Renderer& renderer, const Arguments& arguments) {
  const auto bound = bind(renderer, "raise_exception", arguments, {"message"}, 1);
  renderer.raise(to_text(renderer, *bound[0]));
}

// Only conversions that every C library has, because the format comes from a file.
Value strftime_now(Renderer& renderer, const Arguments& arguments) {
  const auto bound = bind(renderer, "strftime_now", arguments, {"format"}, 1);
  const std::string format = text_argument(renderer, *bound[0], "the format of strftime_now");
  std::string out;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    std::string one = "%";
    if (++i < format.size() && format[i] == '-') one += format[i++];
    constexpr std::string_view kKnown = "aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyY%";
    if (i == format.size() || kKnown.find(format[i]) == std::string_view::npos) {
      renderer.fail("the time format '" + one + format.substr(std::min(i, format.size()), 1) +
                        "' is not known",
                    ErrorCode::kUnsupported);
    }
    one += format[i];
    char shown[256];
    out.append(shown, std::strftime(shown, sizeof shown, one.c_str(), &renderer.now()));
  }
  return renderer.text(std::move(out));
}

}  // namespace

std::optional<Value> find_global(std::string_view name) {
  const auto function = [](Function::Call call) {
    return Value::object(std::make_shared<Function>(call));
  };
  if (name == "range") return function(range);
  if (name == "dict") return function(dict);
  if (name == "namespace") return function(namespace_of);
  if (name == "raise_exception") return function(raise_exception);
  if (name == "strftime_now") return function(strftime_now);
  return std::nullopt;
}

}  // namespace tern::jinja
