// The flags of `tern bench`, spelt as llama-bench spells them.
#include "tern/cli/bench_options.h"

#include <algorithm>

#include "tern/base/error.h"
#include "tern/base/thread_pool.h"
#include "tern/kernels/dispatch.h"

namespace tern::cli {
namespace {

void add_options(CLI::App& app, BenchOptions& o, std::vector<std::string>& layouts) {
  const auto list = [&](const char* flags, std::vector<std::size_t>& values, const char* text) {
    return app.add_option(flags, values, text)->delimiter(',')->check(CLI::Range(0, 1 << 24));
  };
  add_model_options(app, o.model, false);
  app.add_option(
      "--shape", o.shape,
      "measure random weights of a published shape instead of a model (bitnet-2b4t, ...)");
  app.add_option("--type", o.type, "storage of the shape's body")->capture_default_str();
  app.add_option("--embedding-type", o.embedding_type, "storage of the shape's embedding and head")
      ->capture_default_str();
  list("-p,--n-prompt", o.prompts, "prompt lengths, as 128,512; 0: none")->capture_default_str();
  list("-n,--n-gen", o.generations, "tokens to generate, as 32,128; 0: none")
      ->capture_default_str();
  list("-d,--n-depth", o.depths, "tokens already in the context before each of these, as 0,4096")
      ->capture_default_str();
  list("--n-parallel", o.parallel,
       "sequences that decode together, as 1,8,32 (-npl); 0: none, the default");
  app.add_option("-t,--threads", o.threads, "thread counts, as 1,2 (default: this process's CPUs)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  app.add_option("-r,--repetitions", o.repetitions, "measurements of each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("-b,--batch-size", o.batch, "prompt tokens per forward pass")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--cache-type-k", o.cache_k, "KV cache of keys: f32, f16, int8 or int4 (-ctk)")
      ->capture_default_str();
  app.add_option("--cache-type-v", o.cache_v, "KV cache of values, the same types (-ctv)")
      ->capture_default_str();
  app.add_option("--layout", layouts,
                 "how ternary weights are held in memory, digits per byte: five, four or five,four "
                 "(default: the densest that these kernels read)")
      ->delimiter(',')
      ->check(CLI::IsMember({"five", "four"}));
  app.add_flag("--profile", o.profile,
               "also show where the time of a token and of a prompt goes (md and json)");
  app.add_option("-o,--output", o.output, "md, json or csv")
      ->check(CLI::IsMember({"md", "json", "csv"}))
      ->capture_default_str();
}

std::size_t largest(const std::vector<std::size_t>& values) {
  return values.empty() ? 0 : *std::ranges::max_element(values);
}

TernaryLayout usable_layout(const std::string& name) {
  if (name == layout_name(TernaryLayout::kFourPerByte)) return TernaryLayout::kFourPerByte;
  const kernels::KernelTable& table = kernels::table_from_environment();
  if (kernels::table_has_layout(table, TernaryLayout::kFivePerByte)) {
    return TernaryLayout::kFivePerByte;
  }
  throw Error(ErrorCode::kBadArgument, "--layout five found, expected four: the " +
                                           std::string(kernels::table_name(table)) +
                                           " kernels read no other");
}

}  // namespace

std::string_view layout_name(TernaryLayout layout) noexcept {
  return layout == TernaryLayout::kFivePerByte ? "five" : "four";
}

std::size_t BenchOptions::longest() const {
  const std::size_t parallel_end = parallel.empty() ? 0 : kParallelContext + kParallelTokens;
  return std::max(depths.back() + std::max(largest(prompts), largest(generations)), parallel_end);
}

BenchOptions parse_bench_options(std::span<const std::string> args) {
  BenchOptions o;
  CLI::App app("Prompt (pp) and generation (tg) speed, beside this machine's measured ceilings.",
               "tern bench");
  std::vector<std::string> layouts;
  add_options(app, o, layouts);
  parse(app, args);
  for (const std::string& name : layouts) o.layouts.push_back(usable_layout(name));
  // The model falls back to four where the kernels do not read five.
  if (o.layouts.empty()) o.layouts.push_back(TernaryLayout::kFivePerByte);
  for (auto* values : {&o.prompts, &o.generations, &o.parallel}) std::erase(*values, 0u);
  if (o.depths.empty()) o.depths.push_back(0);
  std::ranges::sort(o.depths);
  if (o.threads.empty()) o.threads.push_back(default_threads());
  if (o.prompts.empty() && o.generations.empty() && o.parallel.empty()) {
    throw Error(ErrorCode::kBadArgument,
                "-p 0 and -n 0 without -npl found, expected something to measure");
  }
  if (!o.shape.empty() && !o.model.model.empty()) {
    throw Error(ErrorCode::kBadArgument,
                "a model and --shape NAME found, expected one of them to measure");
  }
  if (o.profile && o.output == "csv") {
    throw Error(ErrorCode::kBadArgument,
                "--profile found with -o csv, expected it with md or json");
  }
  kv_type(o.cache_k);  // A wrong name is said before anything is loaded.
  kv_type(o.cache_v);
  return o;
}

}  // namespace tern::cli
