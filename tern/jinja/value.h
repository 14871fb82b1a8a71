// What a template computes with: Python's values, as far as chat templates meet them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "tern/base/json.h"

namespace tern::jinja {

class Dict;
class Value;
struct Object;  // A namespace, macro, function, bound method or loop (objects.h).
struct Sequence;

// Lists and dicts nest at most this deep (JSON may be 256 deep).
inline constexpr std::size_t kMaxValueDepth = 300;

enum class Kind { kUndefined, kNone, kBool, kInt, kFloat, kString, kSequence, kDict, kObject };

// What a sequence is to Python. A generator can be walked once, has no length and is always true;
// the three views of a dict have a length but no elements by number.
enum class SequenceKind { kList, kTuple, kRange, kKeys, kValues, kItems, kGenerator };

// A value, shared and never changed once it is made (a generator's position and the attributes of a
// namespace excepted, which only a template under way has). Copies are cheap. Not to be used by two
// threads at once while one of them renders with it. Texts are UTF-8.
class Value {
 public:
  Value() = default;                        // Undefined.
  static Value undefined(std::string why);  // `why` is said when it is used.
  static Value none();
  static Value boolean(bool value);
  static Value integer(std::int64_t value);
  static Value number(double value);
  static Value text(std::string value);
  static Value markup(std::string value);  // A text marked as safe HTML (filters safe, escape).
  // Throw Error(kLimit) where the result would nest deeper than kMaxValueDepth.
  static Value list(std::vector<Value> items);
  static Value sequence(SequenceKind kind, std::vector<Value> items);
  static Value dict(Dict dict);
  static Value object(std::shared_ptr<Object> object);

  // Objects become dicts in the order of Json's keys, which is the alphabet's: where the order in
  // the text matters (a template prints tools as they came), use parse_value. Throws
  // Error(kUnsupported) for a whole number beyond 64 bits with sign.
  static Value from_json(const Json& json);

  Kind kind() const noexcept { return static_cast<Kind>(data_.index()); }
  bool is_undefined() const noexcept { return kind() == Kind::kUndefined; }
  bool is_none() const noexcept { return kind() == Kind::kNone; }
  bool is_string() const noexcept { return kind() == Kind::kString; }
  bool is_number() const noexcept;  // An integer, a float, or (as in Python) a boolean.
  bool is_list() const noexcept;
  bool is_markup() const noexcept;
  bool is(SequenceKind wanted) const noexcept;

  // Each requires the kind.
  const std::string& why() const;
  bool as_bool() const { return std::get<bool>(data_); }
  std::int64_t as_int() const;  // Of an integer or a boolean.
  double as_double() const;     // Of any number.
  const std::string& as_string() const { return *std::get<Text>(data_).text; }
  const Sequence& as_sequence() const { return *std::get<SequencePtr>(data_); }
  const Dict& as_dict() const { return *std::get<DictPtr>(data_); }
  const std::shared_ptr<Object>& as_object() const { return std::get<ObjectPtr>(data_); }

  // Two values that are one thing in memory, or have no memory and are equal.
  bool same_as(const Value& other) const noexcept;
  std::size_t depth() const noexcept;  // 0 for what holds nothing.

 private:
  struct Undefined {
    std::shared_ptr<const std::string> why;
  };
  struct Text {
    std::shared_ptr<const std::string> text;
    bool markup = false;
  };
  using SequencePtr = std::shared_ptr<const Sequence>;
  using DictPtr = std::shared_ptr<const Dict>;
  using ObjectPtr = std::shared_ptr<Object>;

  std::variant<Undefined, std::monostate, bool, std::int64_t, double, Text, SequencePtr, DictPtr,
               ObjectPtr>
      data_;  // In the order of Kind.
};

struct Sequence {
  SequenceKind kind = SequenceKind::kList;
  std::vector<Value> items;
  std::size_t depth = 1;
  mutable std::size_t taken = 0;  // Of a generator: how many items are gone.
};

// Keys in the order in which they came. A key is a text, a number, a boolean or none; 1, 1.0 and
// true are one key.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  static bool can_be_key(const Value& key) noexcept;
  void set(const Value& key, Value value);  // Requires can_be_key(key).
  void set(std::string_view key, Value value) {
    set(Value::text(std::string(key)), std::move(value));
  }
  const Value* find(const Value& key) const;  // nullptr where it is not, or could not be.
  const Value* find(std::string_view key) const;
  const std::vector<Entry>& entries() const noexcept { return entries_; }
  std::size_t size() const noexcept { return entries_.size(); }
  std::size_t depth() const noexcept { return depth_; }

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::string, std::size_t> places_;
  std::size_t depth_ = 1;
};

// Parses a JSON text; dicts keep the order of the text. Throws Error(kCorruptFile), as parse_json
// does, also for a key that stands twice, and what from_json throws.
Value parse_value(std::string_view text, std::string_view what);

}  // namespace tern::jinja
