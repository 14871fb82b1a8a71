// The functions, methods, filters and tests that templates may use.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/jinja/renderer.h"
#include "tern/jinja/value.h"

namespace tern::jinja {

// nullptr for a name that is not known.
FilterFunction find_filter(std::string_view name);
TestFunction find_test(std::string_view name);

// A global function, else nullopt: range, dict, namespace, raise_exception, strftime_now.
std::optional<Value> find_global(std::string_view name);

// A method of a text, list, tuple or dict, bound to it; undefined (which says why when it is used)
// for one that the sandbox forbids; nullopt where Python's type has none of this name. Fails for
// those of Python's that are not known here.
std::optional<Value> find_method(Renderer& renderer, const Value& self, std::string_view name);

// str.replace, as a value; `limit` < 0 is no limit. Counted before it is made.
Value replaced(Renderer& renderer, const std::string& text, const std::string& from,
               const std::string& to, std::int64_t limit);

// The arguments in the order of `names`; fails for too many, unknown ones, one given twice, or
// fewer than `required`.
std::vector<std::optional<Value>> bind(Renderer& renderer, std::string_view what,
                                       const Arguments& arguments,
                                       std::initializer_list<std::string_view> names,
                                       std::size_t required = 0);

// Of an argument: what it must be, or fails naming `what`.
std::string text_argument(Renderer& renderer, const Value& value, std::string_view what);
std::int64_t int_argument(Renderer& renderer, const Value& value, std::string_view what);

}  // namespace tern::jinja
