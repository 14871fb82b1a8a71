// toml++ in, toml_literal() out.
#include "tern/train/toml_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <sstream>
#include <tuple>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"

namespace tern::train {
namespace {

Json to_json(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: {
      Json object = Json::object();
      for (const auto& [key, value] : *node.as_table()) {
        object[std::string(key.str())] = to_json(value);
      }
      return object;
    }
    case toml::node_type::array: {
      Json array = Json::array();
      for (const toml::node& value : *node.as_array()) array.push_back(to_json(value));
      return array;
    }
    case toml::node_type::string:
      return node.as_string()->get();
    case toml::node_type::integer:
      return node.as_integer()->get();
    case toml::node_type::floating_point:
      return node.as_floating_point()->get();
    case toml::node_type::boolean:
      return node.as_boolean()->get();
    default:
      break;
  }
  std::ostringstream text;  // Dates and times.
  node.visit([&text](const auto& value) { text << value; });
  return text.str();
}

void flatten(const toml::table& table, const std::string& prefix, std::vector<TomlValue>& out) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (node.is_table() && !node.as_table()->empty()) {
      flatten(*node.as_table(), name + ".", out);
    } else {
      out.push_back({name, to_json(node), key.source().begin.line});
    }
  }
}

std::string toml_string(const std::string& text) {
  std::string out;
  // TOML's basic strings take JSON's escapes, but not a bare DEL.
  for (const char c : dump_json(Json(text))) {
    if (c == '\x7f') {
      out += "\\u007F";
    } else {
      out += c;
    }
  }
  return out;
}

std::string toml_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  // to_chars writes 1e-05; people write 1e-5.
  const std::size_t e = text.find('e');
  if (e != std::string::npos && text.size() == e + 4 && text[e + 2] == '0') text.erase(e + 2, 1);
  // An exponent makes a float of it; a whole number needs a point.
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

std::vector<TomlValue> read_toml(const std::filesystem::path& file) {
  const std::string text = read_text_file(file, 1u << 24);
  try {
    std::vector<TomlValue> values;
    flatten(toml::parse(text), "", values);
    std::sort(values.begin(), values.end(), [](const TomlValue& a, const TomlValue& b) {
      return std::tie(a.line, a.key) < std::tie(b.line, b.key);
    });
    return values;
  } catch (const toml::parse_error& e) {
    std::string reason(e.description());
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    throw Error(ErrorCode::kBadArgument,
                file.string() + ": line " + std::to_string(e.source().begin.line) + ", column " +
                    std::to_string(e.source().begin.column) + ": not TOML: " + reason);
  }
}

std::optional<Json> parse_toml_value(std::string_view text) {
  try {
    const toml::table table = toml::parse("value = " + std::string(text));
    // A line break in the text could have brought keys of its own.
    if (table.size() != 1 || !table.contains("value")) return std::nullopt;
    return to_json(*table.get("value"));
  } catch (const toml::parse_error&) {
    return std::nullopt;
  }
}

std::string toml_literal(const Json& value) {
  if (value.is_string()) return toml_string(value.get<std::string>());
  if (value.is_number_float()) return toml_float(value.get<double>());
  if (!value.is_array()) return dump_json(value);
  std::string out = "[";
  for (const Json& item : value) {
    if (out.size() > 1) out += ", ";
    out += toml_literal(item);
  }
  return out + "]";
}

}  // namespace tern::train
