// The page of one run or several side by side, from what they wrote down.
#pragma once

#include <filesystem>
#include <span>
#include <string>

namespace tern::train {

// HTML of `runs` (folders with metrics.jsonl and config.toml): a table of what they are and where
// they ended; training loss (smoothed; every run a line), held-out loss and bits per byte, learning
// rate, gradient norm, tokens/s over tokens; shares of -1, 0 and +1 and flip rate per layer;
// samples; the configs, with the keys in which they differ marked. Works while a run goes on.
// Throws Error(kIo / kCorruptFile) naming run, file and line.
std::string run_report(std::span<const std::filesystem::path> runs);

}  // namespace tern::train
