// Filters of what can be walked.
#include <algorithm>
#include <functional>
#include <utility>

#include "tern/base/stable_sort.h"
#include "tern/jinja/builtins.h"
#include "tern/jinja/filters.h"
#include "tern/jinja/operators.h"
#include "tern/jinja/python_text.h"

namespace tern::jinja {
namespace {

using Bound = std::vector<std::optional<Value>>;

Value generator(std::vector<Value> items) {
  return Value::sequence(SequenceKind::kGenerator, std::move(items));
}

bool given(const std::optional<Value>& value) { return value && !value->is_none(); }

// "a.b.0" of an element, as environment.getitem finds it.
Value by_path(Renderer& renderer, Value item, const Value& path) {
  if (!path.is_string()) return element(renderer, item, path);
  for (const std::string& part : split(path.as_string(), ".", -1)) {
    const bool number = !part.empty() && part.size() < 18 &&
                        part.find_first_not_of("0123456789") == std::string::npos;
    item = element(renderer, item, number ? Value::integer(std::stoll(part)) : Value::text(part));
  }
  return item;
}

Value without_case(Renderer& renderer, const Value& value) {
  if (!value.is_string()) return value;
  renderer.step(value.as_string().size() / 8);
  return renderer.text(to_lower(value.as_string()));
}

// What elements are compared by: an attribute (or none), letters' case aside or not.
Value key_of(Renderer& renderer, const Value& item, const std::optional<Value>& attribute,
             bool case_sensitive) {
  const Value found = given(attribute) ? by_path(renderer, item, *attribute) : item;
  return case_sensitive ? found : without_case(renderer, found);
}

Value length_filter(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "length", arguments, {});
  return Value::integer(length(renderer, input));
}

Value list(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "list", arguments, {});
  return Value::list(renderer.items(input));
}

Value first(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "first", arguments, {});
  if (input.is(SequenceKind::kGenerator)) {
    const Sequence& sequence = input.as_sequence();
    if (sequence.taken < sequence.items.size()) return sequence.items[sequence.taken++];
  } else if (const std::vector<Value> all = renderer.items(input); !all.empty()) {
    return all.front();
  }
  return Value::undefined("No first item, sequence was empty.");
}

Value last(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "last", arguments, {});
  if (input.is(SequenceKind::kGenerator)) renderer.fail("'generator' object is not reversible");
  const std::vector<Value> all = renderer.items(input);
  return all.empty() ? Value::undefined("No last item, sequence was empty.") : all.back();
}

Value reverse(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "reverse", arguments, {});
  std::vector<Value> all = renderer.items(input);
  std::ranges::reverse(all);
  if (input.is_string()) {
    std::string text;
    for (const Value& c : all) text += c.as_string();
    renderer.make_room(text.size());
    return input.is_markup() ? Value::markup(std::move(text)) : Value::text(std::move(text));
  }
  if (input.is(SequenceKind::kGenerator)) return Value::list(std::move(all));
  return generator(std::move(all));
}

Value join(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "join", arguments, {"d", "attribute"});
  const std::string between = bound[0] ? to_text(renderer, *bound[0]) : "";
  std::string whole;
  bool is_first = true;
  for (const Value& item : renderer.items(input)) {
    const Value found = given(bound[1]) ? by_path(renderer, item, *bound[1]) : item;
    const std::string piece = to_text(renderer, found);
    renderer.make_room(piece.size() + between.size());
    if (!std::exchange(is_first, false)) whole += between;
    whole += piece;
  }
  renderer.make_room(whole.size());
  return Value::text(std::move(whole));
}

Value items(Renderer& renderer, const Value& input, const Arguments& arguments) {
  bind(renderer, "items", arguments, {});
  if (input.is_undefined()) return generator({});
  if (input.kind() != Kind::kDict) renderer.fail("Can only get item pairs from a mapping.");
  std::vector<Value> pairs;
  renderer.step(input.as_dict().size());
  for (const auto& [key, value] : input.as_dict().entries()) {
    pairs.push_back(Value::sequence(SequenceKind::kTuple, {key, value}));
  }
  return generator(std::move(pairs));
}

// Sorted by their keys, equal ones in their order, also backwards.
std::vector<Value> sorted(Renderer& renderer, std::vector<Value> values,
                          const std::function<Value(const Value&)>& key, bool backwards) {
  std::vector<std::pair<Value, Value>> keyed;
  keyed.reserve(values.size());
  for (Value& value : values) {
    Value its_key = key(value);
    keyed.emplace_back(std::move(its_key), std::move(value));
  }
  tern::stable_sort(keyed, [&](const auto& a, const auto& b) {
    return backwards ? less(renderer, b.first, a.first) : less(renderer, a.first, b.first);
  });
  std::vector<Value> result;
  result.reserve(keyed.size());
  for (auto& [its_key, value] : keyed) result.push_back(std::move(value));
  return result;
}

Value sort(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool case_sensitive = bound[1] && truth(*bound[1]);
  std::vector<std::optional<Value>> paths;
  if (given(bound[2]) && bound[2]->is_string()) {
    for (std::string& path : split(bound[2]->as_string(), ",", -1)) {
      paths.emplace_back(Value::text(std::move(path)));
    }
  } else {
    paths.push_back(bound[2]);
  }
  const auto key = [&](const Value& item) {
    std::vector<Value> keys;
    for (const auto& path : paths) keys.push_back(key_of(renderer, item, path, case_sensitive));
    return Value::list(std::move(keys));
  };
  return Value::list(sorted(renderer, renderer.items(input), key, bound[0] && truth(*bound[0])));
}

Value dictsort(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const bool case_sensitive = bound[0] && truth(*bound[0]);
  const std::string by = bound[1] ? text_argument(renderer, *bound[1], "'by' of dictsort") : "key";
  if (by != "key" && by != "value") {
    renderer.fail("You can only sort by either \"key\" or \"value\"");
  }
  if (input.is_undefined()) renderer.fail(input.why());
  if (input.kind() != Kind::kDict) renderer.fail("dictsort of a " + type_name(input));
  std::vector<Value> pairs;
  for (const auto& [key, value] : input.as_dict().entries()) {
    pairs.push_back(Value::sequence(SequenceKind::kTuple, {key, value}));
  }
  const std::size_t place = by == "key" ? 0 : 1;
  const auto key = [&](const Value& pair) {
    const Value& found = pair.as_sequence().items[place];
    return case_sensitive ? found : without_case(renderer, found);
  };
  return Value::list(sorted(renderer, std::move(pairs), key, bound[2] && truth(*bound[2])));
}

Value unique(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "unique", arguments, {"case_sensitive", "attribute"});
  Dict seen;
  std::vector<Value> result;
  for (const Value& item : renderer.items(input)) {
    const Value key = key_of(renderer, item, bound[1], bound[0] && truth(*bound[0]));
    if (!Dict::can_be_key(key)) {
      renderer.fail("unique of a " + type_name(key) + " is not known", ErrorCode::kUnsupported);
    }
    if (seen.find(key) != nullptr) continue;
    seen.set(key, Value::none());
    result.push_back(item);
  }
  return generator(std::move(result));
}

template <bool kMax>
Value extreme(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound =
      bind(renderer, kMax ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const bool case_sensitive = bound[0] && truth(*bound[0]);
  const std::vector<Value> all = renderer.items(input);
  if (all.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  Value best = all[0];
  Value best_key = key_of(renderer, best, bound[1], case_sensitive);
  for (std::size_t i = 1; i < all.size(); ++i) {
    Value key = key_of(renderer, all[i], bound[1], case_sensitive);
    const bool better = kMax ? less(renderer, best_key, key, ">") : less(renderer, key, best_key);
    if (!better) continue;
    best = all[i];
    best_key = std::move(key);
  }
  return best;
}

Value sum(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "sum", arguments, {"attribute", "start"});
  Value total = bound[1].value_or(Value::integer(0));
  if (total.is_string()) renderer.fail("sum() can't sum strings");
  for (const Value& item : renderer.items(input)) {
    total = arithmetic(renderer, Operator::kAdd, total,
                       given(bound[0]) ? by_path(renderer, item, *bound[0]) : item);
  }
  return total;
}

// Arguments after the first `count`.
Arguments rest_of(const Arguments& arguments, std::size_t count) {
  Arguments rest = arguments;
  rest.values.erase(rest.values.begin(), rest.values.begin() + static_cast<std::ptrdiff_t>(count));
  return rest;
}

Value map_attribute(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Bound bound = bind(renderer, "map", arguments, {"attribute", "default"}, 1);
  std::vector<Value> result;
  for (const Value& item : renderer.items(input)) {
    Value found = item;
    // The default stands in at each step of the path.
    if (bound[0]->is_string()) {
      for (const std::string& part : split(bound[0]->as_string(), ".", -1)) {
        found = by_path(renderer, found, Value::text(part));
        if (given(bound[1]) && found.is_undefined()) found = *bound[1];
      }
    } else {
      found = by_path(renderer, found, *bound[0]);
      if (given(bound[1]) && found.is_undefined()) found = *bound[1];
    }
    result.push_back(std::move(found));
  }
  return generator(std::move(result));
}

Value map(Renderer& renderer, const Value& input, const Arguments& arguments) {
  if (!truth(input)) return generator({});
  if (arguments.values.empty()) {
    for (const auto& [name, value] : arguments.named) {
      if (name == "attribute") return map_attribute(renderer, input, arguments);
    }
    renderer.fail("map requires a filter argument");
  }
  const std::string name = text_argument(renderer, arguments.values[0], "the filter of map");
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) {
    renderer.fail("the filter '" + name + "' is not known", ErrorCode::kUnsupported);
  }
  const Arguments rest = rest_of(arguments, 1);
  std::vector<Value> result;
  for (const Value& item : renderer.items(input)) result.push_back(filter(renderer, item, rest));
  return generator(std::move(result));
}

// select, reject, selectattr and rejectattr.
template <bool kKeep, bool kByAttribute>
Value select(Renderer& renderer, const Value& input, const Arguments& arguments) {
  if (!truth(input)) return generator({});
  constexpr std::size_t kBefore = kByAttribute ? 1 : 0;
  if (arguments.values.size() < kBefore) renderer.fail("Missing parameter for attribute name");
  TestFunction test = nullptr;
  Arguments rest;
  if (arguments.values.size() > kBefore) {
    const std::string name =
        text_argument(renderer, arguments.values[kBefore], "the name of a test");
    test = find_test(name);
    if (test == nullptr) {
      renderer.fail("the test '" + name + "' is not known", ErrorCode::kUnsupported);
    }
    rest = rest_of(arguments, kBefore + 1);
  }
  std::vector<Value> result;
  for (const Value& item : renderer.items(input)) {
    const Value found = kByAttribute ? by_path(renderer, item, arguments.values[0]) : item;
    const bool passes = test != nullptr ? test(renderer, found, rest) : truth(found);
    if (passes == kKeep) result.push_back(item);
  }
  return generator(std::move(result));
}

constexpr FilterRow kFilters[] = {{"count", length_filter},
                                  {"dictsort", dictsort},
                                  {"first", first},
                                  {"items", items},
                                  {"join", join},
                                  {"last", last},
                                  {"length", length_filter},
                                  {"list", list},
                                  {"map", map},
                                  {"max", extreme<true>},
                                  {"min", extreme<false>},
                                  {"reject", select<false, false>},
                                  {"rejectattr", select<false, true>},
                                  {"reverse", reverse},
                                  {"select", select<true, false>},
                                  {"selectattr", select<true, true>},
                                  {"sort", sort},
                                  {"sum", sum},
                                  {"unique", unique}};

}  // namespace

std::span<const FilterRow> sequence_filters() { return kFilters; }

}  // namespace tern::jinja
