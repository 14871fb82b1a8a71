// Loading as `tern bench` measures it, and the check that comes before any speed.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/cli/bench_run.h"
#include "tern/kernels/dense.h"
#include "tern/kernels/sliced.h"
#include "tern/kernels/ternary.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"

namespace tern::cli {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_of(const fs::path& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  return files;
}

constexpr std::size_t kMemoryPrompt = 64;  // Or the largest depth, where that is more.

// Brings the files into the page cache, where they and the loaded model fit into memory.
bool read_once(const std::vector<fs::path>& files) {
  std::uint64_t total = 0;
  for (const fs::path& file : files) total += fs::file_size(file);
  if (total > physical_memory() / 3) return false;
  std::vector<char> piece(std::size_t{1} << 20);
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    while (in.read(piece.data(), static_cast<std::streamsize>(piece.size()))) {
    }
  }
  return true;
}

// Peak memory after a prompt and a token, and how much of it the KV cache is.
void measure_memory(const model::Model& model, const BenchOptions& o, ThreadPool& pool,
                    BenchLoad& load) {
  const std::size_t batch = std::min(o.batch, model.context());
  model::KvPool cache(model.config(), model.context(), kv_type(o.cache_k), kv_type(o.cache_v));
  model::Session session(cache);
  model::Forward forward(model, pool, batch);
  std::vector<float> logits(model.config().vocab);
  const std::size_t prompt = std::max<std::size_t>(
      1, std::min(std::max(std::min(batch, kMemoryPrompt), o.depths.back()), model.context() - 1));
  const std::vector<std::uint32_t> ids(batch, 1);
  const model::Head head(model);
  while (session.position() < prompt) {
    const std::size_t part = std::min(batch, prompt - session.position());
    const bool last = session.position() + part == prompt;
    const auto hidden =
        forward.run({{&session, std::span(ids).first(part), last ? part - 1 : part}});
    if (last) head.logits(hidden, logits, pool);
  }
  if (model.context() > prompt) {
    head.logits(forward.run({{&session, std::span(ids).first(1), 0}}), logits, pool);
  }
  load.layout = model.layout();
  load.bytes_per_token = model.bytes_per_token();
  load.weight_bytes = model.weight_bytes();
  load.kv_bytes = session.position() * cache.bytes_per_position();
  load.peak_resident_bytes = peak_resident_bytes();
}

// Both ways of a product: few tokens, which stream the weights, and many, which meet panels.
bool equals_scalar(const model::Model& model, const model::Linear& linear, ThreadPool& pool) {
  const auto& w = std::get<TernaryMatrix>(linear.weight);
  const kernels::KernelTable& scalar = kernels::choose_table("scalar");
  std::mt19937 rng(1);
  for (const std::size_t tokens : {1u, 40u}) {
    std::vector<float> x(tokens * w.cols());
    for (float& v : x) v = static_cast<float>(rng() % 2001) / 1000 - 1;
    kernels::Int8Rows q;
    q.resize(tokens, w.cols(), linear.activation_group);
    kernels::quantize_rows(scalar, x.data(), w.cols(), q, pool);
    std::vector<float> expected(tokens * w.rows()), found(expected);
    kernels::ternary_matmul(scalar, w, q, expected.data(), w.rows(), pool);
    kernels::ternary_matmul(model.kernels(), w, q, found.data(), w.rows(), pool);
    if (expected != found) return false;
  }
  return true;
}

// The head's first rows, where it is stored in full precision or sliced.
bool head_equals_scalar(const model::Model& model, ThreadPool& pool) {
  const Matrix& w = model.head();
  if (std::holds_alternative<TernaryMatrix>(w)) return true;
  const kernels::KernelTable& scalar = kernels::choose_table("scalar");
  std::vector<float> x(matrix_cols(w)), row(x.size()), logits(matrix_rows(w));
  std::mt19937 rng(2);
  for (float& v : x) v = static_cast<float>(rng() % 2001) / 1000 - 1;
  model::Head(model).logits(x, logits, pool);
  for (std::size_t r = 0; r < std::min<std::size_t>(logits.size(), 256); ++r) {
    if (const auto* sliced = std::get_if<SlicedMatrix>(&w)) {
      kernels::sliced_row(scalar, *sliced, r, row.data());
    } else {
      kernels::dense_row(scalar, std::get<DenseMatrix>(w), r, row.data());
    }
    if (kernels::dot(scalar, row.data(), x.data(), x.size()) != logits[r]) return false;
  }
  return true;
}

}  // namespace

BenchLoad bench_load(const BenchOptions& o, TernaryLayout layout, LoadedModel& loaded) {
  loaded = LoadedModel{};
  reset_peak_resident();
  BenchLoad load;
  load.threads = o.model.thread_count();
  load.cached = read_once(files_of(o.model.path()));
  const std::size_t repetitions = load.cached ? o.repetitions : 1;
  for (std::size_t i = 0; i < repetitions; ++i) {
    loaded = LoadedModel{};
    const double start = monotonic_seconds();
    loaded = open_model(o.model, false);
    loaded.load_weights(o.longest(), layout);
    const model::Model& model = *loaded.model;
    const model::KvPool cache(model.config(), model.context(), kv_type(o.cache_k),
                              kv_type(o.cache_v));
    const model::Forward forward(model, *loaded.pool, std::min(o.batch, model.context()));
    load.samples.push_back(monotonic_seconds() - start);
  }
  std::vector<double> sorted = load.samples;
  std::ranges::sort(sorted);
  load.median = (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
  measure_memory(*loaded.model, o, *loaded.pool, load);
  loaded.pool.reset();  // Its threads would stand beside those that are measured.
  return load;
}

void check_kernels(const model::Model& model) {
  ThreadPool pool(1);
  const auto refuse = [&](std::string_view what) {
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("the {} kernels do not equal scalar's on this model's {}, so there is no speed "
                    "to measure",
                    kernels::table_name(model.kernels()), what));
  };
  for (const model::LayerWeights& layer : model.layers()) {
    if (!std::holds_alternative<TernaryMatrix>(layer.down.weight)) continue;
    if (!equals_scalar(model, layer.down, pool)) refuse("first down projection");
    break;
  }
  if (!head_equals_scalar(model, pool)) refuse("head");
}

}  // namespace tern::cli
