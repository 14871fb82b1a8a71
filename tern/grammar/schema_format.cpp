// Formats of strings: dates, identifiers, addresses.
#include <algorithm>
#include <array>

#include "tern/grammar/schema_rules.h"

namespace tern::grammar {
namespace {

// RFC 3339 from the year 1000 on, without 29 February and leap seconds: what is written is a date
// in every year.
constexpr std::string_view kDate =
    R"g([1-9] [0-9]{3} "-" (("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]))g"
    R"g( | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30"))g"
    R"g( | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8])))g";
constexpr std::string_view kClock =
    R"g(([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,6})?)g"
    R"g( ("Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]))g";
constexpr std::string_view kUuid =
    R"g([0-9a-fA-F]{8} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" [0-9a-fA-F]{4} "-" )g"
    R"g([0-9a-fA-F]{12})g";
// Host names of letters, digits and inner hyphens; labels of at most 63.
constexpr std::string_view kHost =
    R"g([a-z0-9] ([a-z0-9-]{0,20} [a-z0-9])? ("." [a-z0-9] ([a-z0-9-]{0,20} [a-z0-9])?){0,4})g";
// A part of RFC 5321's addresses: a dotted word and a host name with at least one dot.
constexpr std::string_view kEmail =
    R"g([A-Za-z0-9_+-]{1,20} ("." [A-Za-z0-9_+-]{1,20}){0,2} "@" [a-z0-9] )g"
    R"g(([a-z0-9-]{0,20} [a-z0-9])? ("." [a-z]{2,10}){1,3})g";
constexpr std::string_view kIpv4 =
    R"g((("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9]? [0-9]) "."){3} )g"
    R"g(("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9]? [0-9]))g";
constexpr std::string_view kIpv6 = R"g(([0-9a-f]{1,4} ":"){7} [0-9a-f]{1,4})g";

constexpr std::array<std::string_view, 8> kNames{"date",  "time",     "date-time", "uuid",
                                                 "email", "hostname", "ipv4",      "ipv6"};

std::string body_of(std::string_view format) {
  if (format == "date") return std::string(kDate);
  if (format == "time") return std::string(kClock);
  if (format == "date-time") return std::string(kDate) + " \"T\" " + std::string(kClock);
  if (format == "uuid") return std::string(kUuid);
  if (format == "email") return std::string(kEmail);
  if (format == "hostname") return std::string(kHost);
  if (format == "ipv4") return std::string(kIpv4);
  if (format == "ipv6") return std::string(kIpv6);
  return "";
}

}  // namespace

std::string string_format(std::string_view format) {
  const std::string body = body_of(format);
  return body.empty() ? "" : R"("\"" )" + body + R"( "\"")";
}

std::string string_format_names() {
  std::string out;
  for (const std::string_view name : kNames) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

}  // namespace tern::grammar
