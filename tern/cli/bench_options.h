// The flags of `tern bench`.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/cli/options.h"
#include "tern/tensor/ternary_code.h"

namespace tern::cli {

// Sequences that decode together stand at this many positions and make so many tokens more.
inline constexpr std::size_t kParallelContext = 64;
inline constexpr std::size_t kParallelTokens = 32;

struct BenchOptions {
  ModelOptions model;
  std::string shape, type = "TQ2_0", embedding_type = "Q6_K", output = "md";
  std::vector<std::size_t> prompts{512}, generations{128};  // Without the zeros.
  std::vector<std::size_t> depths{0};                       // Ascending.
  std::vector<std::size_t> parallel, threads;               // threads: at least one.
  std::size_t repetitions = 3, batch = 512;
  std::string cache_k = "f16", cache_v = "f16";
  // In which ternary weights are held at most, one after the other, each as the model's only one.
  std::vector<TernaryLayout> layouts;
  bool profile = false;

  // The most positions that one sequence of these tests has.
  std::size_t longest() const;
};

// "five" or "four", as --layout takes them: digits per byte.
std::string_view layout_name(TernaryLayout layout) noexcept;

// Throws CLI11's parse errors, and Error(kBadArgument) for flags that do not go together.
BenchOptions parse_bench_options(std::span<const std::string> args);

}  // namespace tern::cli
