// Reading of fields.
#include "tern/server/fields.h"

#include <cmath>
#include <sstream>

#include "tern/base/error.h"
#include "tern/base/utf8.h"

namespace tern::server {
namespace {

std::string in_words(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

}  // namespace

OrderedJson parse_body(std::string_view body) {
  OrderedJson json;
  try {
    json = parse_ordered_json(body, "the request's body");
  } catch (const Error& e) {
    throw HttpError(400, e.what());
  }
  if (!json.is_object()) {
    throw HttpError(400, "the request's body: " + shown(json) + " found, expected a JSON object");
  }
  return json;
}

std::string shown(const OrderedJson& value) {
  constexpr std::size_t kLongest = 60;
  if (value.is_array() && value.size() > 8) {
    return "an array of " + std::to_string(value.size()) + " elements";
  }
  if (value.is_object() && value.size() > 8) {
    return "an object of " + std::to_string(value.size()) + " fields";
  }
  std::string text = dump_ordered_json(value);
  return text.size() <= kLongest ? text : valid_utf8(text.substr(0, kLongest - 3)) + "...";
}

HttpError wrong_field(const std::string& param, const OrderedJson& found,
                      std::string_view expected) {
  return HttpError(400, param + ": " + shown(found) + " found, expected " + std::string(expected),
                   param);
}

Fields::Fields(const OrderedJson& json, std::string where) : json_(json), where_(std::move(where)) {
  if (json.is_object()) return;
  std::string name = where_.empty() ? "the request's body" : where_.substr(0, where_.size() - 1);
  throw wrong_field(name, json, "an object");
}

const OrderedJson* Fields::find(std::string_view key) const {
  for (const auto& [name, value] : json_.items()) {
    if (name == key) return value.is_null() ? nullptr : &value;
  }
  return nullptr;
}

HttpError Fields::wrong(std::string_view key, std::string_view expected) const {
  const OrderedJson* value = find(key);
  return wrong_field(name(key), value ? *value : OrderedJson(), expected);
}

HttpError Fields::missing(std::string_view key, std::string_view expected) const {
  const std::string param = name(key);
  return HttpError(400, param + " is missing, expected " + std::string(expected), param);
}

std::optional<std::string> Fields::text(std::string_view key) const {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) throw wrong_field(name(key), *value, "a string");
  return value->get<std::string>();
}

std::optional<bool> Fields::flag(std::string_view key) const {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) throw wrong_field(name(key), *value, "true or false");
  return value->get<bool>();
}

std::optional<double> Fields::number(std::string_view key, double least, double most) const {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool right = value->is_number() && std::isfinite(value->get<double>()) &&
                     value->get<double>() >= least && value->get<double>() <= most;
  if (!right) {
    throw wrong_field(name(key), *value,
                      "a number from " + in_words(least) + " to " + in_words(most));
  }
  return value->get<double>();
}

std::optional<std::int64_t> Fields::integer(std::string_view key, std::int64_t least,
                                            std::int64_t most) const {
  const OrderedJson* value = find(key);
  if (value == nullptr) return std::nullopt;
  // 3.0 is a whole number, as in JavaScript, which has no other.
  const bool whole =
      value->is_number_integer() ||
      (value->is_number_float() && std::floor(value->get<double>()) == value->get<double>() &&
       std::abs(value->get<double>()) < 9007199254740992.0);
  const bool fits = whole && !(value->is_number_unsigned() &&
                               value->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX));
  if (!fits || value->get<std::int64_t>() < least || value->get<std::int64_t>() > most) {
    throw wrong_field(name(key), *value,
                      most == INT64_MAX ? "a whole number of at least " + std::to_string(least)
                                        : "a whole number from " + std::to_string(least) + " to " +
                                              std::to_string(most));
  }
  return value->get<std::int64_t>();
}

const OrderedJson* Fields::array(std::string_view key) const {
  const OrderedJson* value = find(key);
  if (value != nullptr && !value->is_array()) throw wrong_field(name(key), *value, "an array");
  return value;
}

const OrderedJson* Fields::object(std::string_view key) const {
  const OrderedJson* value = find(key);
  if (value != nullptr && !value->is_object()) throw wrong_field(name(key), *value, "an object");
  return value;
}

}  // namespace tern::server
