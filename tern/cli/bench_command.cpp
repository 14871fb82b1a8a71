// `tern bench`: tokens per second beside what this machine allows, measured in the same process.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>
#include <random>

#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/system.h"
#include "tern/base/version.h"
#include "tern/cli/command.h"
#include "tern/cli/loaded_model.h"
#include "tern/convert/synth.h"
#include "tern/kernels/machine_ceilings.h"
#include "tern/kernels/ternary.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"

namespace tern::cli {
namespace {

struct BenchOptions {
  ModelOptions model;
  std::string shape, type = "TQ2_0", embedding_type = "Q6_K", output = "md";
  std::vector<std::size_t> prompts{512}, generations{128}, threads;
  std::size_t repetitions = 3, batch = 512;
  std::string cache_k = "f16", cache_v = "f16";
};

struct Ceilings {
  double read = 0;       // Bytes per second.
  double int8_macs = 0;  // Multiply-adds per second.
};

struct Row {
  std::string test;  // "pp512", "tg128".
  std::size_t threads = 0;
  double mean = 0, deviation = 0;  // Tokens per second.
  Ceilings ceilings;
  double share = 0;  // Of the ceiling that the test lives under: bandwidth (tg) or int8 peak (pp).
};

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

void add_options(CLI::App& app, BenchOptions& o) {
  add_model_options(app, o.model, false);
  app.add_option(
      "--shape", o.shape,
      "measure random weights of a published shape instead of a model (bitnet-2b4t, ...)");
  app.add_option("--type", o.type, "storage of the shape's body")->capture_default_str();
  app.add_option("--embedding-type", o.embedding_type, "storage of the shape's embedding and head")
      ->capture_default_str();
  app.add_option("-p,--n-prompt", o.prompts, "prompt lengths, as 128,512; 0: none")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("-n,--n-gen", o.generations, "tokens to generate, as 32,128; 0: none")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("-t,--threads", o.threads, "thread counts, as 1,2 (default: this process's CPUs)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  app.add_option("-r,--repetitions", o.repetitions, "measurements of each")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("-b,--batch-size", o.batch, "prompt tokens per forward pass")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--cache-type-k", o.cache_k, "f16 or f32 (-ctk)")->capture_default_str();
  app.add_option("--cache-type-v", o.cache_v, "f16 or f32 (-ctv)")->capture_default_str();
  app.add_option("-o,--output", o.output, "md, json or csv")
      ->check(CLI::IsMember({"md", "json", "csv"}))
      ->capture_default_str();
}

// A speed without the right answer is no speed: the first ternary matrix, some rows, against
// scalar.
void check_kernels(const model::Model& model, ThreadPool& pool) {
  for (const model::LayerWeights& layer : model.layers()) {
    const auto* w = std::get_if<TernaryMatrix>(&layer.down.weight);
    if (w == nullptr) continue;
    constexpr std::size_t kTokens = 3;
    std::mt19937 rng(1);
    std::vector<float> x(kTokens * w->cols());
    for (float& v : x) v = static_cast<float>(rng() % 2001) / 1000 - 1;
    kernels::Int8Rows q;
    q.resize(kTokens, w->cols(), layer.down.activation_group);
    const kernels::KernelTable& scalar = kernels::choose_table("scalar");
    kernels::quantize_rows(scalar, x.data(), w->cols(), q, pool);
    std::vector<float> expected(kTokens * w->rows()), found(expected);
    kernels::ternary_matmul(scalar, *w, q, expected.data(), w->rows(), pool);
    kernels::ternary_matmul(model.kernels(), *w, q, found.data(), w->rows(), pool);
    if (expected != found) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("the {} kernels do not equal scalar's on this model's first down "
                              "projection, so there is no speed to measure",
                              kernels::table_name(model.kernels())));
    }
    return;
  }
}

Row measure(const std::string& test, std::size_t tokens, std::size_t repetitions,
            const std::function<void()>& prepare, const std::function<void()>& work) {
  std::vector<double> speeds;
  for (std::size_t i = 0; i <= repetitions; ++i) {
    prepare();
    const double start = monotonic_seconds();
    work();
    const double speed = static_cast<double>(tokens) / (monotonic_seconds() - start);
    if (i > 0) speeds.push_back(speed);  // The first warms up.
  }
  Row row;
  row.test = test;
  const auto count = static_cast<double>(speeds.size());
  row.mean = std::accumulate(speeds.begin(), speeds.end(), 0.0) / count;
  for (const double s : speeds) row.deviation += (s - row.mean) * (s - row.mean);
  row.deviation = speeds.size() > 1 ? std::sqrt(row.deviation / (count - 1)) : 0;
  return row;
}

// All tests at one thread count.
void bench_threads(const model::Model& model, const BenchOptions& o, std::size_t threads,
                   std::vector<Row>& rows) {
  constexpr std::size_t kReadBytes = std::size_t{512} << 20;
  ThreadPool pool(threads);
  const Ceilings ceilings{kernels::measure_read_bandwidth(model.kernels(), pool, kReadBytes),
                          kernels::measure_int8_macs(model.kernels(), pool)};
  model::KvPool cache(model.config(), model.context(), kv_type(o.cache_k), kv_type(o.cache_v));
  model::Session session(cache);
  const std::size_t batch = std::min(o.batch, model.context());
  model::Forward forward(model, pool, batch);
  model::Head head(model);
  const model::BestRequest greedy{.count = 1, .within = 0, .always = {}};
  std::vector<model::TokenLogit> list;
  std::vector<std::uint32_t> ids(model.context());
  std::mt19937 rng(1);
  for (auto& id : ids) id = static_cast<std::uint32_t>(rng() % model.config().vocab);
  const std::span<const std::uint32_t> tokens(ids);
  const auto fresh = [&] { session.truncate(0); };

  for (const std::size_t n : o.prompts) {
    if (n == 0) continue;
    Row row = measure(fmt::format("pp{}", n), n, o.repetitions, fresh, [&] {
      for (std::size_t at = 0; at < n; at += batch) {
        const std::size_t count = std::min(batch, n - at);
        const bool last = at + count == n;
        const auto hidden =
            forward.run({{&session, tokens.subspan(at, count), last ? count - 1 : count}});
        if (last) head.best(hidden, {&greedy, 1}, {&list, 1}, pool);
      }
    });
    row.share = row.mean * static_cast<double>(model.ternary_macs_per_token()) / ceilings.int8_macs;
    row.threads = threads;
    row.ceilings = ceilings;
    rows.push_back(row);
  }
  for (const std::size_t n : o.generations) {
    if (n == 0) continue;
    std::size_t head_bytes = 0, steps = 0;
    Row row = measure(fmt::format("tg{}", n), n, o.repetitions, fresh, [&] {
      for (std::size_t i = 0; i < n; ++i) {
        const auto hidden = forward.run({{&session, tokens.subspan(i, 1), 0}});
        head_bytes += head.best(hidden, {&greedy, 1}, {&list, 1}, pool).bytes;
        ++steps;
      }
    });
    // What was read, on average: the body, and of the head what its screens took.
    const double bytes = static_cast<double>(model.body_bytes()) +
                         static_cast<double>(head_bytes) / static_cast<double>(steps);
    row.share = row.mean * bytes / ceilings.read;
    row.threads = threads;
    row.ceilings = ceilings;
    rows.push_back(row);
  }
}

void print_rows(const BenchOptions& o, const std::string& name, const model::Model& model,
                const std::vector<Row>& rows) {
  const std::string isa(kernels::table_name(model.kernels()));
  if (o.output == "json") {
    Json list = Json::array();
    for (const Row& r : rows) {
      list.push_back({{"test", r.test},
                      {"threads", r.threads},
                      {"tokens_per_second", r.mean},
                      {"deviation", r.deviation},
                      {"read_bytes_per_second", r.ceilings.read},
                      {"int8_macs_per_second", r.ceilings.int8_macs},
                      {"share_of_ceiling", r.share}});
    }
    fmt::print("{}\n", dump_json({{"model", name},
                                  {"version", version_text()},
                                  {"cpu", cpu_model()},
                                  {"kernels", isa},
                                  {"bytes_per_token", model.bytes_per_token()},
                                  {"ternary_macs_per_token", model.ternary_macs_per_token()},
                                  {"peak_resident_bytes", peak_resident_bytes()},
                                  {"results", list}},
                                 2));
    return;
  }
  if (o.output == "csv") {
    fmt::print(
        "model,kernels,threads,test,tokens_per_second,deviation,read_gb_s,int8_gmac_s,share\n");
    for (const Row& r : rows) {
      fmt::print("{},{},{},{},{:.3f},{:.3f},{:.2f},{:.1f},{:.4f}\n", name, isa, r.threads, r.test,
                 r.mean, r.deviation, r.ceilings.read / 1e9, r.ceilings.int8_macs / 1e9, r.share);
    }
    return;
  }
  fmt::print("{}, {} kernels, {}\n\n", name, isa, cpu_model());
  fmt::print(
      "| threads | test  | tokens/s         | read GB/s | int8 GMAC/s | share of ceiling |\n");
  fmt::print(
      "|--------:|-------|-----------------:|----------:|------------:|-----------------:|\n");
  for (const Row& r : rows) {
    fmt::print(
        "| {:>7} | {:<5} | {:>8.2f} ± {:>5.2f} | {:>9.1f} | {:>11.0f} | {:>8.2f} of {:<4} |\n",
        r.threads, r.test, r.mean, r.deviation, r.ceilings.read / 1e9, r.ceilings.int8_macs / 1e9,
        r.share, r.test.starts_with("tg") ? "read" : "int8");
  }
  fmt::print(
      "\nA token reads {:.0f} MB of weights and takes {:.2f} G ternary multiply-adds; peak "
      "memory {:.0f} MB.\n",
      static_cast<double>(model.bytes_per_token()) / 1e6,
      static_cast<double>(model.ternary_macs_per_token()) / 1e9,
      static_cast<double>(peak_resident_bytes()) / 1e6);
}

}  // namespace

int run_bench(std::span<const std::string> args) {
  BenchOptions o;
  CLI::App app("Prompt (pp) and generation (tg) speed, beside this machine's measured ceilings.",
               "tern bench");
  add_options(app, o);
  parse(app, args);
  if (o.threads.empty()) o.threads.push_back(default_threads());
  if (!o.shape.empty() && !o.model.model.empty()) {
    say("a model and --shape NAME found, expected one of them to measure");
    return 2;
  }
  const TemporaryFile file;
  std::string name = o.model.model.empty() ? "en" : o.model.model;
  if (!o.shape.empty()) {
    name = fmt::format("{} ({}, {} head)", o.shape, o.type, o.embedding_type);
    say(fmt::format("making random weights of shape {}", o.shape));
    convert::SynthOptions synth;
    synth.type = storage_type(o.type);
    synth.embedding_type = storage_type(o.embedding_type);
    ThreadPool pool(default_threads());
    convert::synth(o.shape, file.name(), synth, pool, {}, stderr_progress());
    o.model.model = file.name();
  }
  o.model.threads = *std::ranges::max_element(o.threads);
  LoadedModel loaded = open_model(o.model, false);
  const std::size_t longest =
      std::max(*std::ranges::max_element(o.prompts), *std::ranges::max_element(o.generations));
  loaded.load_weights(longest);
  check_kernels(*loaded.model, *loaded.pool);
  loaded.pool.reset();  // Its threads would stand beside those that are measured.
  std::vector<Row> rows;
  for (const std::size_t threads : o.threads) bench_threads(*loaded.model, o, threads, rows);
  print_rows(o, name, *loaded.model, rows);
  return 0;
}

}  // namespace tern::cli
