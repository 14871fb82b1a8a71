// Fields of a request's JSON, checked when they are read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tern/base/json.h"
#include "tern/server/http_error.h"

namespace tern::server {

// Parses a request's body. Throws HttpError(400) for what is no JSON object.
OrderedJson parse_body(std::string_view body);

// `"abc"`, cut to a length that a sentence can hold.
std::string shown(const OrderedJson& value);

// An HttpError(400) about `param`: "`param`: `found` found, expected `expected`".
HttpError wrong_field(const std::string& param, const OrderedJson& found,
                      std::string_view expected);

// An object of a request. A field that is missing or null is nullopt; one of a wrong type or range
// throws HttpError(400) that names it. Fields that nobody asks for are ignored, as OpenAI does.
class Fields {
 public:
  // `where` stands before the names in errors: "messages[1].". Throws if `json` is no object.
  // `json` outlives this.
  explicit Fields(const OrderedJson& json, std::string where = {});

  const OrderedJson* find(std::string_view key) const;  // nullptr: missing or null.
  std::optional<std::string> text(std::string_view key) const;
  std::optional<bool> flag(std::string_view key) const;
  std::optional<double> number(std::string_view key, double least, double most) const;
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t least,
                                      std::int64_t most) const;
  const OrderedJson* array(std::string_view key) const;
  const OrderedJson* object(std::string_view key) const;

  std::string name(std::string_view key) const { return where_ + std::string(key); }
  HttpError wrong(std::string_view key, std::string_view expected) const;
  HttpError missing(std::string_view key, std::string_view expected) const;

 private:
  const OrderedJson& json_;
  std::string where_;
};

}  // namespace tern::server
