// str(), repr() and json.dumps().
#include <algorithm>
#include <cmath>
#include <utility>

#include "tern/base/stable_sort.h"
#include "tern/jinja/operators.h"
#include "tern/jinja/python_text.h"

namespace tern::jinja {
namespace {

[[noreturn]] void cannot_print(Renderer& renderer, const Value& value) {
  renderer.fail("printing a value of the type '" + type_name(value) + "' is not known",
                ErrorCode::kUnsupported);
}

class Repr {
 public:
  explicit Repr(Renderer& renderer) : renderer_(renderer) {}

  void add(const Value& value) {
    renderer_.step();
    switch (value.kind()) {
      case Kind::kUndefined:
        put("Undefined");
        break;
      case Kind::kNone:
        put("None");
        break;
      case Kind::kBool:
        put(value.as_bool() ? "True" : "False");
        break;
      case Kind::kInt:
        put(std::to_string(value.as_int()));
        break;
      case Kind::kFloat:
        put(float_repr(value.as_double()));
        break;
      case Kind::kString: {
        const std::string quoted = text_repr(value.as_string());
        put(value.is_markup() ? "Markup(" + quoted + ")" : quoted);
        break;
      }
      case Kind::kSequence:
        add_sequence(value);
        break;
      case Kind::kDict:
        add_dict(value.as_dict());
        break;
      case Kind::kObject:
        cannot_print(renderer_, value);
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void put(std::string_view piece) {
    renderer_.make_room(piece.size());
    out_ += piece;
  }
  void add_sequence(const Value& value) {
    const Sequence& sequence = value.as_sequence();
    const auto around = [&]() -> std::pair<std::string_view, std::string_view> {
      switch (sequence.kind) {
        case SequenceKind::kList:
          return {"[", "]"};
        case SequenceKind::kTuple:
          return {"(", sequence.items.size() == 1 ? ",)" : ")"};
        case SequenceKind::kKeys:
          return {"dict_keys([", "])"};
        case SequenceKind::kValues:
          return {"dict_values([", "])"};
        case SequenceKind::kItems:
          return {"dict_items([", "])"};
        default:
          cannot_print(renderer_, value);
      }
    }();
    put(around.first);
    for (std::size_t i = 0; i < sequence.items.size(); ++i) {
      if (i > 0) put(", ");
      add(sequence.items[i]);
    }
    put(around.second);
  }
  void add_dict(const Dict& dict) {
    put("{");
    bool first = true;
    for (const auto& [key, value] : dict.entries()) {
      if (!std::exchange(first, false)) put(", ");
      add(key);
      put(": ");
      add(value);
    }
    put("}");
  }

  Renderer& renderer_;
  std::string out_;
};

class JsonWriter {
 public:
  JsonWriter(Renderer& renderer, const JsonStyle& style) : renderer_(renderer), style_(style) {}

  void add(const Value& value) {
    renderer_.step();
    switch (value.kind()) {
      case Kind::kNone:
        put("null");
        break;
      case Kind::kBool:
        put(value.as_bool() ? "true" : "false");
        break;
      case Kind::kInt:
        put(std::to_string(value.as_int()));
        break;
      case Kind::kFloat:
        put(number(value.as_double()));
        break;
      case Kind::kString:
        put(json_string(value.as_string(), style_.ensure_ascii));
        break;
      case Kind::kDict:
        add_dict(value.as_dict());
        break;
      case Kind::kSequence:
        if (value.is_list() || value.is(SequenceKind::kTuple)) {
          add_list(value.as_sequence());
          break;
        }
        [[fallthrough]];
      default:
        renderer_.fail("Object of type " + type_name(value) + " is not JSON serializable");
    }
  }
  std::string take() { return std::move(out_); }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }
  static std::string key_text(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        return key.as_string();
      case Kind::kNone:
        return "null";
      case Kind::kBool:
        return key.as_bool() ? "true" : "false";
      case Kind::kInt:
        return std::to_string(key.as_int());
      default:
        return number(key.as_double());
    }
  }
  void put(std::string_view piece) {
    renderer_.make_room(piece.size());
    out_ += piece;
  }
  void new_line() {
    if (!style_.indent) return;
    put("\n");
    for (std::size_t i = 0; i < level_; ++i) put(*style_.indent);
  }
  void add_list(const Sequence& list) {
    if (list.items.empty()) return put("[]");
    put("[");
    ++level_;
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) put(style_.comma);
      new_line();
      add(list.items[i]);
    }
    --level_;
    new_line();
    put("]");
  }
  void add_dict(const Dict& dict) {
    if (dict.size() == 0) return put("{}");
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      tern::stable_sort(entries, [this](const auto* a, const auto* b) {
        return less(renderer_, a->first, b->first);
      });
    }
    put("{");
    ++level_;
    bool first = true;
    for (const Dict::Entry* entry : entries) {
      if (!std::exchange(first, false)) put(style_.comma);
      new_line();
      put(json_string(key_text(entry->first), style_.ensure_ascii));
      put(style_.colon);
      add(entry->second);
    }
    --level_;
    new_line();
    put("}");
  }

  Renderer& renderer_;
  const JsonStyle& style_;
  std::string out_;
  std::size_t level_ = 0;
};

}  // namespace

std::string to_text(Renderer& renderer, const Value& value) {
  if (value.is_undefined()) return "";
  if (value.is_string()) return value.as_string();
  return to_repr(renderer, value);
}

std::string to_repr(Renderer& renderer, const Value& value) {
  Repr repr(renderer);
  repr.add(value);
  return repr.take();
}

std::string to_json(Renderer& renderer, const Value& value, const JsonStyle& style) {
  JsonWriter writer(renderer, style);
  writer.add(value);
  return writer.take();
}

}  // namespace tern::jinja
