// Attributes, elements, slices and lengths.
#include <algorithm>
#include <utility>

#include "tern/jinja/builtins.h"
#include "tern/jinja/operators.h"
#include "tern/jinja/python_text.h"

namespace tern::jinja {
namespace {

Value missing(const Value& value, const std::string& name) {
  std::string type = type_name(value);
  if (value.is_none()) return Value::undefined("'None' has no attribute '" + name + "'");
  return Value::undefined("'" + type + " object' has no attribute '" + name + "'");
}

// What Python finds as an attribute; nullopt where there is none of this name.
std::optional<Value> python_attribute(Renderer& renderer, const Value& value,
                                      std::string_view name) {
  if (name.starts_with("__")) {
    renderer.fail("the attribute '" + std::string(name) + "' is not known",
                  ErrorCode::kUnsupported);
  }
  if (value.kind() != Kind::kObject) return find_method(renderer, value, name);
  Object& object = *value.as_object();
  if (const auto* names = dynamic_cast<const Namespace*>(&object)) {
    const Value* found = names->attributes.find(name);
    return found != nullptr ? std::optional<Value>(*found) : std::nullopt;
  }
  if (auto* loop = dynamic_cast<Loop*>(&object)) {
    if (name == "cycle" || name == "changed") {
      const auto call =
          name == "cycle"
              ? Method::Call([](Renderer&, const Value& self, const Arguments& arguments) {
                  return dynamic_cast<Loop&>(*self.as_object()).cycle(arguments);
                })
              : Method::Call([](Renderer&, const Value& self, const Arguments& arguments) {
                  return dynamic_cast<Loop&>(*self.as_object()).changed(arguments);
                });
      return Value::object(std::make_shared<Method>(value, call));
    }
    return loop->attribute(name);
  }
  renderer.fail(
      "the attribute '" + std::string(name) + "' of a " + type_name(value) + " is not known",
      ErrorCode::kUnsupported);
}

// Python's a[i] by number, or undefined.
Value by_number(Renderer& renderer, const Value& value, std::int64_t index) {
  const std::int64_t size = length(renderer, value);
  const std::int64_t place = index < 0 ? index + size : index;
  if (place < 0 || place >= size) {
    return Value::undefined(type_name(value) + " object has no element " + std::to_string(index));
  }
  const auto at = static_cast<std::size_t>(place);
  if (!value.is_string()) return value.as_sequence().items[at];
  const std::string& text = value.as_string();
  const std::size_t begin = byte_of(text, at);
  const std::size_t end = begin + byte_of(std::string_view(text).substr(begin), 1);
  std::string one = text.substr(begin, end - begin);
  return value.is_markup() ? Value::markup(std::move(one)) : Value::text(std::move(one));
}

bool has_places(const Value& value) {
  return value.is_string() || value.is_list() || value.is(SequenceKind::kTuple) ||
         value.is(SequenceKind::kRange);
}

struct Bounds {
  std::int64_t start, stop, step;
};

// PySlice_AdjustIndices.
Bounds slice_bounds(Renderer& renderer, std::int64_t size, const Value& start, const Value& stop,
                    const Value& step) {
  const auto whole = [&](const Value& v) {
    if (v.is_undefined()) renderer.fail(v.why());
    if (!v.is_number() || v.kind() == Kind::kFloat) {
      renderer.fail("slice indices must be integers or none, found '" + type_name(v) + "'");
    }
    return std::clamp(v.as_int(), -INT64_MAX, INT64_MAX);
  };
  Bounds bounds{0, 0, step.is_none() ? 1 : whole(step)};
  if (bounds.step == 0) renderer.fail("slice step cannot be zero");
  const bool back = bounds.step < 0;
  const auto place = [&](const Value& v, std::int64_t otherwise) {
    if (v.is_none()) return otherwise;
    const std::int64_t given = whole(v);
    const std::int64_t from_start = given < 0 ? given + size : given;
    return std::clamp(from_start, back ? std::int64_t{-1} : 0, back ? size - 1 : size);
  };
  bounds.start = place(start, back ? size - 1 : 0);
  bounds.stop = place(stop, back ? -1 : size);
  return bounds;
}

}  // namespace

std::int64_t length(Renderer& renderer, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      renderer.step(value.as_string().size() / 64);
      return static_cast<std::int64_t>(code_points(value.as_string()));
    case Kind::kDict:
      return static_cast<std::int64_t>(value.as_dict().size());
    case Kind::kSequence:
      if (value.is(SequenceKind::kGenerator)) break;
      return static_cast<std::int64_t>(value.as_sequence().items.size());
    case Kind::kObject:
      if (auto* loop = dynamic_cast<Loop*>(value.as_object().get())) {
        return loop->attribute("length").as_int();
      }
      break;
    default:
      break;
  }
  renderer.fail("object of type '" + type_name(value) + "' has no len()");
}

Value attribute(Renderer& renderer, const Value& value, std::string_view name) {
  if (value.is_undefined()) renderer.fail(value.why());
  if (auto found = python_attribute(renderer, value, name)) return *found;
  if (value.kind() == Kind::kDict) {
    if (const Value* found = value.as_dict().find(name)) return *found;
  }
  return missing(value, std::string(name));
}

Value element(Renderer& renderer, const Value& value, const Value& index) {
  if (value.is_undefined()) renderer.fail(value.why());
  if (value.kind() == Kind::kDict) {
    if (const Value* found = value.as_dict().find(index)) return *found;
  } else if (has_places(value) && index.is_number() && index.kind() != Kind::kFloat) {
    return by_number(renderer, value, index.as_int());
  }
  if (index.is_string()) {
    if (auto found = python_attribute(renderer, value, index.as_string())) return *found;
    return missing(value, index.as_string());
  }
  return Value::undefined("'" + type_name(value) + " object' has no such element");
}

Value slice(Renderer& renderer, const Value& value, const Value& start, const Value& stop,
            const Value& step) {
  if (value.is_undefined()) renderer.fail(value.why());
  if (!has_places(value)) renderer.fail("'" + type_name(value) + "' object cannot be sliced");
  const std::int64_t size = length(renderer, value);
  const Bounds bounds = slice_bounds(renderer, size, start, stop, step);
  const auto past = [&](std::int64_t i) {
    return bounds.step > 0 ? i >= bounds.stop : i <= bounds.stop;
  };
  if (value.is_string()) {
    const std::string& text = value.as_string();
    std::string made;
    if (bounds.step == 1) {
      if (!past(bounds.start)) {
        const std::size_t begin = byte_of(text, static_cast<std::size_t>(bounds.start));
        const std::string_view rest = std::string_view(text).substr(begin);
        made = rest.substr(0, byte_of(rest, static_cast<std::size_t>(bounds.stop - bounds.start)));
      }
    } else {
      renderer.step(static_cast<std::uint64_t>(size));
      const std::vector<std::string> all = characters(text);
      for (std::int64_t i = bounds.start; !past(i);) {
        made += all[static_cast<std::size_t>(i)];
        if (__builtin_add_overflow(i, bounds.step, &i)) break;
      }
    }
    renderer.make_room(made.size());
    return value.is_markup() ? Value::markup(std::move(made)) : Value::text(std::move(made));
  }
  const Sequence& sequence = value.as_sequence();
  std::vector<Value> items;
  for (std::int64_t i = bounds.start; !past(i);) {
    renderer.step();
    items.push_back(sequence.items[static_cast<std::size_t>(i)]);
    if (__builtin_add_overflow(i, bounds.step, &i)) break;
  }
  return Value::sequence(sequence.kind, std::move(items));
}

}  // namespace tern::jinja
