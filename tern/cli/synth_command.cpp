// `tern synth`: a model of a known shape with random ternary weights.
#include <fmt/core.h>

#include "tern/arch/architecture.h"
#include "tern/cli/command.h"
#include "tern/cli/options.h"
#include "tern/convert/synth.h"

namespace tern::cli {

int run_synth(std::span<const std::string> args) {
  CLI::App app("Writes a model of a known shape with random ternary weights, to measure with.",
               "tern synth");
  std::string shapes;
  for (const std::string_view name : arch::shape_names()) {
    shapes += (shapes.empty() ? "" : ", ") + std::string(name);
  }
  std::string shape, out, type = "TQ2_0", embedding_type = "Q6_K";
  std::size_t threads = 0;
  convert::SynthOptions options;
  app.add_option("--shape", shape, "one of " + shapes)->required();
  app.add_option("OUT,-o,--output", out, "the .gguf file to write")->required();
  app.add_option("--type", type, "TQ1_0, TQ2_0, I2_S, IQ2_BN, F16, BF16 or F32")
      ->capture_default_str();
  app.add_option("--embedding-type", embedding_type, "Q6_K, Q8_0, Q4_0, F16, BF16 or F32")
      ->capture_default_str();
  app.add_option("-s,--seed", options.seed, "another seed, other weights")->capture_default_str();
  app.add_option("-t,--threads", threads, "threads (default: the CPUs of this process)")
      ->check(CLI::Range(1, 1024));
  parse(app, args);

  options.type = storage_type(type);
  options.embedding_type = storage_type(embedding_type);
  ThreadPool pool(threads == 0 ? default_threads() : threads);
  convert::synth(shape, out, options, pool, stderr_notice(), stderr_progress());
  say(fmt::format("{} written", out));
  return 0;
}

}  // namespace tern::cli
