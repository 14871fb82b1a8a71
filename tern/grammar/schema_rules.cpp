// The rules that JSON grammars are made of.
#include "tern/grammar/schema_rules.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "tern/base/error.h"
#include "tern/grammar/syntax.h"

namespace tern::grammar {
namespace {

constexpr std::size_t kMaxOutput = kMaxGrammarBytes;

struct Builtin {
  std::string_view name, body;
  std::array<std::string_view, 6> needs;
};

// White space is bounded: a model that loves blanks could write them for ever. One blank or up to
// two line ends with indentation, and only where it may matter to a reader: behind { [ , : and
// before } ].
constexpr auto kBuiltins = std::to_array<Builtin>({
    {"ws", R"g((" " | "\n"{1,2} [ \t]{0,20})?)g", {}},
    {"hex", "[0-9a-fA-F]", {}},
    // Surrogates come in pairs, or other programs refuse the text.
    {"escape",
     R"g(["\\/bfnrt] | "u" (([0-9abcefABCEF] hex | [dD] [0-7]) hex hex | )g"
     R"g([dD] [89abAB] hex hex "\\u" [dD] [c-fC-F] hex hex))g",
     {"hex"}},
    {"char", R"g([^"\\\x00-\x1F] | "\\" escape)g", {"escape"}},
    {"string", R"g("\"" char* "\"")g", {"char"}},
    {"plain", R"g([^"\\\x00-\x1F])g", {}},
    {"integer", R"g("-"? ("0" | [1-9] [0-9]{0,15}))g", {}},
    {"number", R"g(integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?)g", {"integer"}},
    {"boolean", R"g("true" | "false")g", {}},
    {"null", R"g("null")g", {}},
    {"member", R"g(string ":" ws value)g", {"string", "ws", "value"}},
    {"object", R"g("{" ws (member ("," ws member)* ws)? "}")g", {"member", "ws"}},
    {"array", R"g("[" ws (value ("," ws value)* ws)? "]")g", {"value", "ws"}},
    {"value",
     "object | array | string | number | boolean | null",
     {"object", "array", "string", "number", "boolean", "null"}},
});

}  // namespace

Rules::Rules() {
  names_.insert("root");
  for (const Builtin& builtin : kBuiltins) names_.emplace(builtin.name);
}

std::string Rules::fresh_name(std::string_view hint) {
  std::string base;
  for (const char c : hint.substr(0, 40)) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    if (plain || (!base.empty() && base.back() != '-')) base += plain ? c : '-';
  }
  if (base.empty()) base = "rule";
  std::string name = base;
  std::size_t& number = next_number_[base];
  while (!names_.insert(name).second) name = base + "-" + std::to_string(++number);
  return name;
}

void Rules::put(const std::string& name, const std::string& body) {
  bytes_ += name.size() + body.size() + 6;
  if (bytes_ > kMaxOutput || rules_.size() == kMaxRules) {
    throw Error(ErrorCode::kLimit, "JSON schema: a grammar of more than " +
                                       std::to_string(kMaxOutput) + " bytes or " +
                                       std::to_string(kMaxRules) +
                                       " rules would come of it, expected a smaller schema");
  }
  rules_.emplace_back(name, body);
}

std::string Rules::add(std::string_view hint, const std::string& body) {
  const auto known = by_body_.find(body);
  if (known != by_body_.end()) return known->second;
  const std::string name = fresh_name(hint);
  put(name, body);
  by_body_.emplace(body, name);
  return name;
}

std::string Rules::reserve(std::string_view hint) { return fresh_name(hint); }

void Rules::define(const std::string& name, const std::string& body) { put(name, body); }

std::string Rules::builtin(std::string_view name) {
  if (builtins_.emplace(name).second) {
    const Builtin& wanted = *std::ranges::find(kBuiltins, name, &Builtin::name);
    put(std::string(name), std::string(wanted.body));
    for (const std::string_view need : wanted.needs) {
      if (!need.empty()) builtin(need);
    }
  }
  return std::string(name);
}

std::string Rules::text() const {
  std::string root, rest;
  for (const auto& [name, body] : rules_)
    (name == "root" ? root : rest) += name + " ::= " + body + "\n";
  return root + rest;
}

std::string gbnf_literal(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> hex{};
      std::snprintf(hex.data(), hex.size(), "\\x%02X", static_cast<unsigned>(c));
      out += hex.data();
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string gbnf_repeat(std::uint64_t min, std::uint64_t max) {
  if (min > kMaxRepeat) {
    throw Error(ErrorCode::kLimit, "JSON schema: a minimum of " + std::to_string(min) +
                                       " repetitions found, expected at most " +
                                       std::to_string(kMaxRepeat));
  }
  if (max == kUnbounded) {
    if (min == 0) return "*";
    return min == 1 ? "+" : "{" + std::to_string(min) + ",}";
  }
  max = std::min<std::uint64_t>(max, kMaxRepeat);
  if (min == 0 && max == 1) return "?";
  return "{" + std::to_string(min) + "," + std::to_string(max) + "}";
}

}  // namespace tern::grammar
