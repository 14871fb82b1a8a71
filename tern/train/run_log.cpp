// metrics.jsonl and config.toml of a run, line by line.
#include "tern/train/run_log.h"

#include <algorithm>
#include <limits>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"

namespace tern::train {
namespace {

// The fields of one line. What is missing is an error; null is a number that was not finite.
struct Line {
  const Json& json;
  const std::string& what;

  const Json& field(const char* key, const char* expected) const {
    const auto found = json.find(key);
    if (found == json.end()) {
      throw Error(ErrorCode::kCorruptFile, what + ": no " + key + " found, expected " + expected);
    }
    return *found;
  }
  std::uint64_t count(const char* key) const {
    field(key, "a whole number");
    return json_uint(json, key, what).value_or(0);
  }
  double number(const char* key) const {
    field(key, "a number");
    return json_number(json, key, what).value_or(std::numeric_limits<double>::quiet_NaN());
  }
  std::string text(const char* key) const {
    field(key, "a string");
    return json_string(json, key, what).value_or("");
  }
};

WeightsLine weights_of(const Line& line) {
  WeightsLine out{line.count("step"), {}};
  const Json& layers = line.field("layers", "a list");
  for (const Json& layer : layers) {
    if (!layers.is_array() || !layer.is_object()) {
      throw Error(ErrorCode::kCorruptFile, line.what + ": layers is no list of objects");
    }
    const Line l{layer, line.what};
    out.layers.push_back({l.text("name"), l.number("minus"), l.number("zero"), l.number("plus"),
                          l.number("flipped")});
  }
  return out;
}

void add_line(const Line& line, RunLog& run) {
  const std::string kind = line.text("kind");
  if (kind == "step") {
    run.steps.push_back({line.count("step"), line.count("tokens"), line.number("loss"),
                         line.number("learning_rate"), line.number("weight_decay"),
                         line.number("grad_norm"), line.number("tokens_per_second"),
                         line.number("seconds"),
                         json_bool(line.json, "skipped", line.what).value_or(false)});
  } else if (kind == "held_out" || kind == "final") {
    const HeldOutLine held{line.count("step"), line.count("tokens"), line.number("loss"),
                           line.number("bits_per_byte")};
    if (kind == "final") {
      run.final = held;
    } else {
      run.held_out.push_back(held);
    }
  } else if (kind == "weights") {
    run.weights.push_back(weights_of(line));
  } else if (kind == "sample") {
    run.samples.push_back({line.count("step"), line.text("prompt"), line.text("text")});
  }
}

void read_metrics(const std::filesystem::path& file, RunLog& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return;
  const std::string text = read_text_file(file, std::uint64_t{1} << 34);
  std::size_t begin = 0;
  for (std::size_t number = 1;; ++number) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) return;
    const std::string what = file.string() + ": line " + std::to_string(number);
    const Json json = parse_json(std::string_view(text).substr(begin, end - begin), what);
    if (!json.is_object()) {
      throw Error(ErrorCode::kCorruptFile, what + ": no object found, expected one per line");
    }
    add_line({json, what}, run);
    begin = end + 1;
  }
}

}  // namespace

std::string RunLog::setting(std::string_view key) const {
  for (const TomlValue& value : config) {
    if (value.key == key) {
      return value.value.is_string() ? value.value.get<std::string>() : toml_literal(value.value);
    }
  }
  return "";
}

double RunLog::tokens_at(std::uint64_t step) const noexcept {
  const auto after =
      std::upper_bound(steps.begin(), steps.end(), step,
                       [](std::uint64_t s, const StepLine& line) { return s < line.step; });
  return after == steps.begin() ? 0 : static_cast<double>((after - 1)->tokens);
}

RunLog read_run(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    throw Error(ErrorCode::kIo, folder.string() +
                                    ": no folder found, expected that of a run, with config.toml "
                                    "and metrics.jsonl");
  }
  RunLog run;
  run.folder = folder;
  try {
    run.config = read_toml(folder / "config.toml");
  } catch (const Error& e) {
    // For a report it is a file that is broken, not an argument.
    throw Error(e.code() == ErrorCode::kBadArgument ? ErrorCode::kCorruptFile : e.code(), e.what());
  }
  read_metrics(folder / "metrics.jsonl", run);
  return run;
}

}  // namespace tern::train
