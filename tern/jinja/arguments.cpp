// Arguments by place and by name, put in order.
#include <algorithm>

#include "tern/jinja/builtins.h"
#include "tern/jinja/operators.h"

namespace tern::jinja {

std::vector<std::optional<Value>> bind(Renderer& renderer, std::string_view what,
                                       const Arguments& arguments,
                                       std::initializer_list<std::string_view> names,
                                       std::size_t required) {
  const std::string called(what);
  if (arguments.values.size() > names.size()) {
    renderer.fail(called + " takes at most " + std::to_string(names.size()) + " arguments, found " +
                  std::to_string(arguments.values.size()));
  }
  std::vector<std::optional<Value>> bound(names.size());
  std::ranges::copy(arguments.values, bound.begin());
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::ranges::find(names, std::string_view(name));
    if (found == names.end()) renderer.fail(called + " has no argument '" + name + "'");
    auto& place = bound[static_cast<std::size_t>(found - names.begin())];
    if (place) renderer.fail(called + " was given its argument '" + name + "' twice");
    place = value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (!bound[i])
      renderer.fail(called + " lacks its argument '" + std::string(names.begin()[i]) + "'");
  }
  return bound;
}

std::string text_argument(Renderer& renderer, const Value& value, std::string_view what) {
  if (value.is_undefined()) renderer.fail(value.why());
  if (!value.is_string()) {
    renderer.fail(std::string(what) + " is of the type '" + type_name(value) +
                  "', expected a text");
  }
  return value.as_string();
}

std::int64_t int_argument(Renderer& renderer, const Value& value, std::string_view what) {
  if (value.is_undefined()) renderer.fail(value.why());
  if (!value.is_number() || value.kind() == Kind::kFloat) {
    renderer.fail(std::string(what) + " is of the type '" + type_name(value) +
                  "', expected a whole number");
  }
  return value.as_int();
}

}  // namespace tern::jinja
