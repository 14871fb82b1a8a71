// Values: making them, and dicts that keep their order.
#include "tern/jinja/value.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tern/base/error.h"
#include "tern/jinja/objects.h"

namespace tern::jinja {
namespace {

std::size_t one_deeper(std::size_t depth) {
  if (depth >= kMaxValueDepth) {
    throw Error(ErrorCode::kLimit, "a list or dict is nested deeper than " +
                                       std::to_string(kMaxValueDepth) + " levels");
  }
  return depth + 1;
}

// A key as a text: equal for keys that Python holds for equal.
std::string place_of(const Value& key) {
  switch (key.kind()) {
    case Kind::kString:
      return "s" + key.as_string();
    case Kind::kNone:
      return "n";
    case Kind::kBool:
    case Kind::kInt:
      return "i" + std::to_string(key.as_int());
    default:
      break;
  }
  const double number = key.as_double();
  if (number == std::floor(number) && std::fabs(number) < 9.2e18) {
    return "i" + std::to_string(static_cast<std::int64_t>(number));
  }
  return "f" + std::to_string(std::bit_cast<std::uint64_t>(number));
}

[[noreturn]] void too_large() {
  throw Error(ErrorCode::kUnsupported,
              "a whole number in JSON is beyond 64 bits with sign, which templates cannot hold");
}

// Builds values from the parser's events.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(std::string_view what) : what_(what) {}
  Value take() { return std::move(root_); }

  bool null() override { return put(Value::none()); }
  bool boolean(bool value) override { return put(Value::boolean(value)); }
  bool number_integer(number_integer_t value) override { return put(Value::integer(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > INT64_MAX) too_large();
    return put(Value::integer(static_cast<std::int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t& digits) override {
    if (digits.find_first_of(".eE") == std::string::npos) too_large();
    return put(Value::number(value));
  }
  bool string(string_t& value) override { return put(Value::text(std::move(value))); }
  bool binary(binary_t&) override { return false; }  // JSON has none.
  bool start_object(std::size_t) override { return open(true); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(false); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (open_.back().dict.find(name) != nullptr) {
      fail("key '" + name + "' stands twice in one object");
    }
    open_.back().key = name;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception& e) override {
    fail(std::string("not valid JSON: ") + e.what());
  }

 private:
  struct Level {
    bool is_dict;
    Dict dict;
    std::vector<Value> items;
    std::string key;
  };

  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(ErrorCode::kCorruptFile, std::string(what_) + ": " + reason);
  }
  bool put(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().is_dict) {
      open_.back().dict.set(open_.back().key, std::move(value));
    } else {
      open_.back().items.push_back(std::move(value));
    }
    return true;
  }
  bool open(bool is_dict) {
    if (open_.size() == 256) fail("JSON nested deeper than 256");
    open_.push_back({is_dict, {}, {}, {}});
    return true;
  }
  bool close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    return put(level.is_dict ? Value::dict(std::move(level.dict))
                             : Value::list(std::move(level.items)));
  }

  std::string_view what_;
  Value root_;
  std::vector<Level> open_;
};

}  // namespace

Value Value::undefined(std::string why) {
  Value v;
  v.data_ = Undefined{std::make_shared<const std::string>(std::move(why))};
  return v;
}

Value Value::none() {
  Value v;
  v.data_ = std::monostate{};
  return v;
}

Value Value::boolean(bool value) {
  Value v;
  v.data_ = value;
  return v;
}

Value Value::integer(std::int64_t value) {
  Value v;
  v.data_ = value;
  return v;
}

Value Value::number(double value) {
  Value v;
  v.data_ = value;
  return v;
}

Value Value::text(std::string value) {
  Value v;
  v.data_ = Text{std::make_shared<const std::string>(std::move(value)), false};
  return v;
}

Value Value::markup(std::string value) {
  Value v;
  v.data_ = Text{std::make_shared<const std::string>(std::move(value)), true};
  return v;
}

Value Value::list(std::vector<Value> items) {
  return sequence(SequenceKind::kList, std::move(items));
}

Value Value::sequence(SequenceKind kind, std::vector<Value> items) {
  std::size_t inside = 0;
  for (const Value& item : items) inside = std::max(inside, item.depth());
  auto made = std::make_shared<Sequence>();
  made->kind = kind;
  made->items = std::move(items);
  made->depth = one_deeper(inside);
  Value v;
  v.data_ = SequencePtr(std::move(made));
  return v;
}

Value Value::dict(Dict dict) {
  Value v;
  v.data_ = DictPtr(std::make_shared<const Dict>(std::move(dict)));
  return v;
}

Value Value::object(std::shared_ptr<Object> object) {
  Value v;
  v.data_ = std::move(object);
  return v;
}

Value Value::from_json(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null:
      return none();
    case Json::value_t::boolean:
      return boolean(json.get<bool>());
    case Json::value_t::string:
      return text(json.get<std::string>());
    case Json::value_t::number_float:
      return number(json.get<double>());
    case Json::value_t::number_integer:
      return integer(json.get<std::int64_t>());
    case Json::value_t::number_unsigned:
      if (json.get<std::uint64_t>() > INT64_MAX) too_large();
      return integer(json.get<std::int64_t>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json(item));
      return list(std::move(items));
    }
    case Json::value_t::object: {
      Dict made;
      for (const auto& [key, item] : json.items()) made.set(key, from_json(item));
      return dict(std::move(made));
    }
    default:
      break;
  }
  throw Error(ErrorCode::kUnsupported,
              std::string("a template cannot hold JSON of the type ") + json.type_name());
}

bool Value::is_number() const noexcept {
  return kind() == Kind::kBool || kind() == Kind::kInt || kind() == Kind::kFloat;
}

bool Value::is_list() const noexcept { return is(SequenceKind::kList); }

bool Value::is_markup() const noexcept { return is_string() && std::get<Text>(data_).markup; }

bool Value::is(SequenceKind wanted) const noexcept {
  return kind() == Kind::kSequence && as_sequence().kind == wanted;
}

const std::string& Value::why() const {
  static const std::string plain = "a value is undefined";
  const auto& found = std::get<Undefined>(data_).why;
  return found ? *found : plain;
}

std::int64_t Value::as_int() const {
  return kind() == Kind::kBool ? static_cast<std::int64_t>(as_bool())
                               : std::get<std::int64_t>(data_);
}

double Value::as_double() const {
  return kind() == Kind::kFloat ? std::get<double>(data_) : static_cast<double>(as_int());
}

bool Value::same_as(const Value& other) const noexcept {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return as_bool() == other.as_bool();
    case Kind::kInt:
      return as_int() == other.as_int();
    case Kind::kFloat:
      return as_double() == other.as_double();
    case Kind::kString:
      return &as_string() == &other.as_string();
    case Kind::kSequence:
      return &as_sequence() == &other.as_sequence();
    case Kind::kDict:
      return &as_dict() == &other.as_dict();
    case Kind::kObject:
      return as_object() == other.as_object();
  }
  return false;
}

std::size_t Value::depth() const noexcept {
  if (kind() == Kind::kSequence) return as_sequence().depth;
  if (kind() == Kind::kDict) return as_dict().depth();
  return kind() == Kind::kObject ? as_object()->depth : 0;
}

bool Dict::can_be_key(const Value& key) noexcept {
  return key.is_string() || key.is_none() || key.is_number();
}

void Dict::set(const Value& key, Value value) {
  depth_ = std::max(depth_, one_deeper(value.depth()));
  const auto [place, fresh] = places_.try_emplace(place_of(key), entries_.size());
  if (fresh) {
    entries_.emplace_back(key, std::move(value));
  } else {
    entries_[place->second].second = std::move(value);
  }
}

const Value* Dict::find(const Value& key) const {
  if (!can_be_key(key)) return nullptr;
  const auto place = places_.find(place_of(key));
  return place == places_.end() ? nullptr : &entries_[place->second].second;
}

const Value* Dict::find(std::string_view key) const {
  const auto place = places_.find("s" + std::string(key));
  return place == places_.end() ? nullptr : &entries_[place->second].second;
}

Value parse_value(std::string_view text, std::string_view what) {
  Builder builder(what);
  try {
    Json::sax_parse(text, &builder);
  } catch (const Json::exception& e) {
    throw Error(ErrorCode::kCorruptFile, std::string(what) + ": not valid JSON: " + e.what());
  }
  return builder.take();
}

}  // namespace tern::jinja
