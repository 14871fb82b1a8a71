// The measurements of `tern bench`, without a word of output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tern/cli/bench_options.h"
#include "tern/cli/loaded_model.h"
#include "tern/kernels/machine_ceilings.h"
#include "tern/model/profile.h"

namespace tern::cli {

enum class BenchKind { kPrompt, kGenerate, kParallel };

struct BenchTest {
  BenchKind kind = BenchKind::kPrompt;
  std::size_t n = 0;      // Tokens; of kParallel: sequences.
  std::size_t depth = 0;  // Tokens that are in the context before.

  std::string name() const;  // "pp512", "tg128 @ d4096", "npl8".
};

// One test at one thread count. Shares are of the ceilings measured right before and right after
// each repetition.
struct BenchRow {
  BenchTest test;
  std::size_t threads = 0;
  TernaryLayout layout{};
  std::vector<double> samples;  // Tokens per second, of all sequences together.
  double mean = 0, deviation = 0;
  double bytes = 0, macs = 0;  // Of one repetition: read weights and KV cache; multiply-adds.
  kernels::Ceilings ceilings;  // Mean.
  double read_share = 0;       // bytes / time / read bandwidth.
  double int8_share = 0;       // macs / time / int8 peak.
};

struct BenchLoad {
  TernaryLayout layout{};
  std::uint64_t bytes_per_token = 0;  // Of weights.
  std::size_t threads = 0;
  bool cached = false;          // The file was read once before.
  std::vector<double> samples;  // Seconds from opening until a first token can be computed.
  double median = 0;
  // After a prompt of 64 tokens or of the largest depth (and room for a whole batch) and one token.
  std::uint64_t weight_bytes = 0, kv_bytes = 0, peak_resident_bytes = 0;
};

struct BenchProfile {
  BenchTest test;
  std::size_t threads = 0;
  TernaryLayout layout{};
  std::size_t tokens = 0;  // That the profile covers.
  model::Profile profile;
  kernels::Ceilings ceilings;
};

struct BenchResult {
  std::vector<BenchRow> rows;
  std::vector<BenchProfile> profiles;
};

// Opens and loads the model that `o` names, several times where that is cheap; `loaded` keeps the
// last one, without its threads, and nothing of what it held before.
BenchLoad bench_load(const BenchOptions& o, TernaryLayout layout, LoadedModel& loaded);

// A speed without the right answer is no speed: throws Error(kUnsupported) where this model's
// kernels do not give scalar's bits.
void check_kernels(const model::Model& model);

// Runs every test of `o` at `threads` threads and adds what it finds to `result`.
void bench_threads(const model::Model& model, const BenchOptions& o, std::size_t threads,
                   BenchResult& result);

}  // namespace tern::cli
