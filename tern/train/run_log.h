// What a run has written down, read back: for reports.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tern/train/toml_file.h"

namespace tern::train {

// Numbers that were not finite when they were written are NaN.
struct StepLine {
  std::uint64_t step = 0, tokens = 0;
  double loss = 0, learning_rate = 0, weight_decay = 0, grad_norm = 0;
  double tokens_per_second = 0, seconds = 0;
  bool skipped = false;
};
struct HeldOutLine {
  std::uint64_t step = 0, tokens = 0;
  double loss = 0, bits_per_byte = 0;
};
struct LayerShares {
  std::string name;
  double minus = 0, zero = 0, plus = 0, flipped = 0;
};
struct WeightsLine {
  std::uint64_t step = 0;
  std::vector<LayerShares> layers;
};
struct SampleLine {
  std::uint64_t step = 0;
  std::string prompt, text;
};

struct RunLog {
  std::filesystem::path folder;
  std::vector<TomlValue> config;
  std::vector<StepLine> steps;
  std::vector<HeldOutLine> held_out;
  std::optional<HeldOutLine> final;  // Over all held-out text; only of a run that has ended.
  std::vector<WeightsLine> weights;
  std::vector<SampleLine> samples;

  // The value of a config key as TOML; empty where the run has no such key.
  std::string setting(std::string_view key) const;
  // Tokens after `step` steps, by the lines of that step or the last before it.
  double tokens_at(std::uint64_t step) const noexcept;
};

// `folder` with config.toml and, once the first step is done, metrics.jsonl. A last line that is
// being written is left out; lines of kinds that this version does not know are passed over.
// Throws Error(kIo) and Error(kCorruptFile), naming file and line.
RunLog read_run(const std::filesystem::path& folder);

}  // namespace tern::train
