// `tern bench`: tokens per second beside what this machine allows, measured in the same process.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "tern/base/system.h"
#include "tern/cli/bench_print.h"
#include "tern/cli/command.h"
#include "tern/convert/synth.h"

namespace tern::cli {
namespace {

// A file in the temporary folder that is gone when this object is.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_(std::filesystem::temp_directory_path() /
              ("tern-bench-" + std::to_string(random_seed()) + ".gguf")) {}
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  std::string name() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

void make_shape(const BenchOptions& o, const std::string& path) {
  say(fmt::format("making random weights of shape {}", o.shape));
  convert::SynthOptions synth;
  synth.type = storage_type(o.type);
  synth.embedding_type = storage_type(o.embedding_type);
  ThreadPool pool(default_threads());
  convert::synth(o.shape, path, synth, pool, {}, stderr_progress());
}

}  // namespace

int run_bench(std::span<const std::string> args) {
  BenchOptions o = parse_bench_options(args);
  const TemporaryFile file;
  std::string name = o.model.model.empty() ? "en" : o.model.model;
  if (!o.shape.empty()) {
    make_shape(o, file.name());
    name = fmt::format("{} ({}, {} head)", o.shape, o.type, o.embedding_type);
    o.model.model = file.name();
  }
  o.model.threads = *std::ranges::max_element(o.threads);
  LoadedModel loaded;
  std::vector<BenchLoad> loads;
  BenchResult result;
  for (const TernaryLayout layout : o.layouts) {
    loads.push_back(bench_load(o, layout, loaded));
    check_kernels(*loaded.model);
    for (const std::size_t threads : o.threads) bench_threads(*loaded.model, o, threads, result);
  }
  print_bench(o.output, name, *loaded.model, loads, result);
  return 0;
}

}  // namespace tern::cli
