// The one table of config keys: reading, writing and the manual all go through it.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/json.h"
#include "tern/train/config.h"

namespace tern::train {

struct Range {
  double min = 0, max = 0;
  bool above_min = false, below_max = false;  // The end itself is out.
};

// A value on its way into the config. Its readers throw Error(kBadArgument) in one sentence.
struct KeyValue {
  std::string where;  // "run.toml: line 3: model.hidden" or "--set model.hidden".
  Json json;
  std::string bare;            // Of an override, the text itself; a string key takes it as it is.
  std::filesystem::path base;  // What a relative path is relative to.

  [[noreturn]] void wrong(const std::string& expected) const;
  std::uint64_t whole(const Range& range) const;  // 10_000_000 and 1e7 alike.
  double number(const Range& range) const;
  bool boolean() const;
  std::string text() const;
  std::vector<std::string> texts() const;  // One string is a list of one.
  std::filesystem::path path() const;      // Absolute.
  std::vector<std::filesystem::path> paths() const;
};

struct ConfigKey {
  std::string_view name;       // "model.hidden".
  std::string_view otherwise;  // What holds without it, where that is no constant: "required".
  std::string_view meaning;    // One line, for the manual.
  Range range;
  void (*read)(const KeyValue& value, const Range& range, TrainConfig& config);
  Json (*write)(const TrainConfig& config);

  bool required() const noexcept { return otherwise == "required"; }
};

// In the order of the file that to_toml() writes.
std::span<const ConfigKey> config_keys() noexcept;
// The manual's table of a section ("model"): one row per key, in Markdown.
std::string markdown_table(std::string_view section);

}  // namespace tern::train
