// nlohmann-json behind tern's errors.
#include "tern/base/json.h"

#include <cmath>
#include <set>
#include <vector>

#include "tern/base/error.h"

namespace tern {
namespace {

constexpr int kMaxDepth = 256;

[[noreturn]] void wrong(std::string_view what, const char* key, const Json& found,
                        const char* expected) {
  std::string shown = dump_json(found);
  if (shown.size() > 60) shown = shown.substr(0, 57) + "...";
  throw Error(ErrorCode::kCorruptFile,
              std::string(what) + ": field '" + key + "' is " + shown + ", expected " + expected);
}

// A field that is there and not null, else nullptr.
const Json* find(const Json& json, const char* key, std::string_view what) {
  if (!json.is_object()) {
    throw Error(ErrorCode::kCorruptFile, std::string(what) + ": found " + json.type_name() +
                                             " where an object was expected");
  }
  const auto it = json.find(key);
  return it == json.end() || it->is_null() ? nullptr : &*it;
}

}  // namespace

Json parse_json(std::string_view text, std::string_view what) {
  // One set of keys per open object; nlohmann-json would silently keep the last of two equal keys.
  std::vector<std::set<std::string>> keys;
  const auto callback = [&](int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (depth > kMaxDepth) {
      throw Error(ErrorCode::kCorruptFile,
                  std::string(what) + ": JSON nested deeper than " + std::to_string(kMaxDepth));
    }
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get_ref<const std::string&>()).second) {
      throw Error(ErrorCode::kCorruptFile, std::string(what) + ": key '" +
                                               parsed.get_ref<const std::string&>() +
                                               "' stands twice in one object");
    }
    return true;
  };
  try {
    return Json::parse(text, callback);
  } catch (const Json::exception& e) {
    std::string reason = e.what();
    if (const auto bracket = reason.find("] "); bracket != std::string::npos) {
      reason = reason.substr(bracket + 2);  // Drops "[json.exception.parse_error.101] ".
    }
    throw Error(ErrorCode::kCorruptFile, std::string(what) + ": not valid JSON: " + reason);
  }
}

Json parse_json(std::span<const std::byte> bytes, std::string_view what) {
  return parse_json(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                    what);
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::optional<std::uint64_t> json_uint(const Json& json, const char* key, std::string_view what) {
  const Json* field = find(json, key, what);
  if (field == nullptr) return std::nullopt;
  if (!field->is_number_unsigned()) wrong(what, key, *field, "a whole number of 0 or more");
  return field->get<std::uint64_t>();
}

std::optional<double> json_number(const Json& json, const char* key, std::string_view what) {
  const Json* field = find(json, key, what);
  if (field == nullptr) return std::nullopt;
  if (!field->is_number() || !std::isfinite(field->get<double>())) {
    wrong(what, key, *field, "a finite number");
  }
  return field->get<double>();
}

std::optional<bool> json_bool(const Json& json, const char* key, std::string_view what) {
  const Json* field = find(json, key, what);
  if (field == nullptr) return std::nullopt;
  if (!field->is_boolean()) wrong(what, key, *field, "true or false");
  return field->get<bool>();
}

std::optional<std::string> json_string(const Json& json, const char* key, std::string_view what) {
  const Json* field = find(json, key, what);
  if (field == nullptr) return std::nullopt;
  if (!field->is_string()) wrong(what, key, *field, "a string");
  return field->get<std::string>();
}

}  // namespace tern
