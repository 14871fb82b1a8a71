// TOML as a flat list of dotted keys and JSON values: the one place that sees the TOML library.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/json.h"

namespace tern::train {

struct TomlValue {
  std::string key;  // "schedule.learning_rate".
  Json value;       // An empty table is an empty object; a date is its text.
  std::size_t line = 0;
};

// Every value of `file`, in its order. Throws Error(kIo) for a file that cannot be read and
// Error(kBadArgument) for one that is not TOML, naming file, line and column.
std::vector<TomlValue> read_toml(const std::filesystem::path& file);

// What stands right of `=`; nullopt where `text` is not one TOML value.
std::optional<Json> parse_toml_value(std::string_view text);

// One value as TOML. Numbers read back to the same bits. Objects and null have no such form.
std::string toml_literal(const Json& value);

}  // namespace tern::train
