// Speeds beside the ceilings that were measured around them.
#include "tern/cli/bench_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <random>
#include <utility>

#include "tern/base/system.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"

namespace tern::cli {
namespace {

constexpr std::size_t kWarmTokens = 64;  // Of a prompt; an eighth of it are generated.

std::size_t whole_blocks(std::size_t positions) {
  return (positions + kernels::kKvBlock - 1) / kernels::kKvBlock * kernels::kKvBlock;
}

// Positions of the KV cache that the tests of `o` need at a time, and not more.
std::size_t positions_needed(const BenchOptions& o) {
  std::size_t needed = o.longest();
  for (const std::size_t n : o.parallel) {
    needed = std::max(needed, n * whole_blocks(kParallelContext + kParallelTokens));
  }
  return needed;
}

std::size_t batch_needed(const BenchOptions& o, const model::Model& model) {
  std::size_t batch = std::min(o.batch, model.context());
  for (const std::size_t n : o.parallel) batch = std::max(batch, n);
  return batch;
}

// Mean and sample standard deviation (0 for one sample).
void summarize(const std::vector<double>& samples, double& mean, double& deviation) {
  const auto count = static_cast<double>(samples.size());
  mean = std::accumulate(samples.begin(), samples.end(), 0.0) / count;
  deviation = 0;
  for (const double s : samples) deviation += (s - mean) * (s - mean);
  deviation = samples.size() > 1 ? std::sqrt(deviation / (count - 1)) : 0;
}

// A model at one thread count.
class Runner {
 public:
  Runner(const model::Model& model, const BenchOptions& o, std::size_t threads)
      : model_(model),
        options_(o),
        pool_(threads),
        probe_(model.kernels(), pool_),
        cache_(model.config(), positions_needed(o), kv_type(o.cache_k), kv_type(o.cache_v)),
        session_(cache_),
        forward_(model, pool_, batch_needed(o, model)),
        head_(model),
        batch_(std::min(o.batch, model.context())),
        ids_(std::max(o.longest(), forward_.max_tokens())) {
    std::mt19937 rng(1);
    for (auto& id : ids_) id = static_cast<std::uint32_t>(rng() % model.config().vocab);
  }

  BenchRow measure(const BenchTest& test);
  BenchProfile profile(const BenchTest& test);

 private:
  void prepare(const BenchTest& test);
  void run(const BenchTest& test, model::Profile* profile = nullptr);
  void warm_up(const BenchTest& test);
  void read_tokens(std::size_t count, model::Profile* profile, bool wanted);
  void next_best(std::span<const float> hidden, model::Profile* profile);
  std::size_t tokens(const BenchTest& test) const;
  void count_costs(const BenchTest& test, BenchRow& row) const;

  const model::Model& model_;
  const BenchOptions& options_;
  ThreadPool pool_;
  kernels::CeilingProbe probe_;
  model::KvPool cache_;
  model::Session session_;
  std::deque<model::Session> parallel_;  // Of kParallel; a session cannot move.
  model::Forward forward_;
  model::Head head_;
  std::size_t batch_;  // Prompt tokens per pass.
  std::vector<std::uint32_t> ids_;
  std::vector<model::BestRequest> requests_;
  std::vector<std::vector<model::TokenLogit>> lists_;
  std::size_t head_bytes_ = 0;  // Read of the head so far.
};

// What greedy generation does with final hidden states.
void Runner::next_best(std::span<const float> hidden, model::Profile* profile) {
  const std::size_t states = hidden.size() / model_.config().hidden;
  requests_.resize(states, {.count = 1, .within = 0, .always = {}});
  lists_.resize(states);
  head_bytes_ += head_.best(hidden, requests_, lists_, pool_, profile).bytes;
}

// `count` tokens more in the session, in batches; the last one's best logit where it is wanted.
void Runner::read_tokens(std::size_t count, model::Profile* profile, bool wanted) {
  const std::size_t end = session_.position() + count;
  while (session_.position() < end) {
    const std::size_t at = session_.position();
    const std::size_t part = std::min(batch_, end - at);
    const bool last = wanted && at + part == end;
    const auto hidden = forward_.run(
        {{&session_, std::span(ids_).subspan(at, part), last ? part - 1 : part}}, nullptr, profile);
    if (last) next_best(hidden, profile);
  }
}

// Puts the sessions where the test begins. What they hold of an earlier test is the same tokens.
void Runner::prepare(const BenchTest& test) {
  if (test.kind != BenchKind::kParallel) {
    parallel_.clear();
    if (session_.position() > test.depth) session_.truncate(test.depth);
    read_tokens(test.depth - session_.position(), nullptr, false);
    return;
  }
  session_.truncate(0);
  while (parallel_.size() > test.n) parallel_.pop_back();
  while (parallel_.size() < test.n) parallel_.emplace_back(cache_);
  for (model::Session& session : parallel_) {
    if (session.position() > kParallelContext) session.truncate(kParallelContext);
    while (session.position() < kParallelContext) {
      const std::size_t part = std::min(batch_, kParallelContext - session.position());
      forward_.run({{&session, std::span(ids_).subspan(session.position(), part), part}});
    }
  }
}

void Runner::run(const BenchTest& test, model::Profile* profile) {
  if (test.kind == BenchKind::kPrompt) return read_tokens(test.n, profile, true);
  if (test.kind == BenchKind::kGenerate) {
    for (std::size_t i = 0; i < test.n; ++i) {
      const auto id = std::span(ids_).subspan(session_.position(), 1);
      next_best(forward_.run({{&session_, id, 0}}, nullptr, profile), profile);
    }
    return;
  }
  model::Batch batch;
  for (std::size_t i = 0; i < parallel_.size(); ++i) {
    batch.push_back({&parallel_[i], std::span(ids_).subspan(i, 1), 0});
  }
  for (std::size_t step = 0; step < kParallelTokens; ++step) {
    next_best(forward_.run(batch, nullptr, profile), profile);
  }
}

void Runner::warm_up(const BenchTest& test) {
  BenchTest less = test;
  if (test.kind == BenchKind::kPrompt) less.n = std::min(test.n, kWarmTokens);
  if (test.kind == BenchKind::kGenerate) less.n = std::min(test.n, kWarmTokens / 8);
  prepare(less);
  if (test.kind != BenchKind::kParallel) return run(less);
  model::Batch batch;
  for (model::Session& session : parallel_) {
    batch.push_back({&session, std::span(ids_).first(1), 0});
  }
  next_best(forward_.run(batch), nullptr);
}

std::size_t Runner::tokens(const BenchTest& test) const {
  return test.kind == BenchKind::kParallel ? test.n * kParallelTokens : test.n;
}

// What one repetition must read, without the head, and multiply. A pass reads the weights once, and
// each session's keys and values once. A prompt's multiply-adds are those with ternary weights; the
// others' are the head's as well.
void Runner::count_costs(const BenchTest& test, BenchRow& row) const {
  const auto kv = static_cast<double>(cache_.bytes_per_position());
  const auto weights =
      static_cast<double>(model_.bytes_per_token() - model_.head_bytes_per_token());
  const auto depth = static_cast<double>(test.depth);
  const auto n = static_cast<double>(test.n);
  const auto ternary_macs = static_cast<double>(model_.ternary_macs_per_token());
  const double all_macs =
      ternary_macs + static_cast<double>(model_.config().vocab * model_.config().hidden);
  if (test.kind == BenchKind::kPrompt) {
    row.macs = n * ternary_macs;
    for (std::size_t at = 0; at < test.n; at += batch_) {
      row.bytes += weights + kv * (depth + static_cast<double>(std::min(test.n, at + batch_)));
    }
  } else if (test.kind == BenchKind::kGenerate) {
    row.macs = n * all_macs;
    row.bytes = n * (weights + kv * (depth + (n + 1) / 2));
  } else {
    constexpr double kSteps{kParallelTokens};
    row.macs = n * kSteps * all_macs;
    row.bytes = kSteps * (weights + n * kv * (double{kParallelContext} + (kSteps + 1) / 2));
  }
}

BenchRow Runner::measure(const BenchTest& test) {
  BenchRow row;
  row.test = test;
  row.threads = pool_.size();
  row.layout = model_.layout();
  count_costs(test, row);
  warm_up(test);
  const double body = std::exchange(row.bytes, 0);
  const auto count = static_cast<double>(options_.repetitions);
  kernels::Ceilings before = probe_.measure();
  for (std::size_t i = 0; i < options_.repetitions; ++i) {
    prepare(test);
    head_bytes_ = 0;
    const double start = monotonic_seconds();
    run(test);
    const double seconds = monotonic_seconds() - start;
    const kernels::Ceilings after = probe_.measure();
    const kernels::Ceilings around = mean(before, after);
    row.samples.push_back(static_cast<double>(tokens(test)) / seconds);
    const double bytes = body + static_cast<double>(head_bytes_);
    row.bytes += bytes / count;
    row.read_share += bytes / seconds / around.read / count;
    row.int8_share += row.macs / seconds / around.int8_macs / count;
    row.ceilings.read += around.read / count;
    row.ceilings.int8_macs += around.int8_macs / count;
    row.ceilings.barrier += around.barrier / count;
    row.ceilings.pool_run += around.pool_run / count;
    before = after;
  }
  summarize(row.samples, row.mean, row.deviation);
  return row;
}

BenchProfile Runner::profile(const BenchTest& test) {
  BenchProfile found;
  found.test = test;
  found.threads = pool_.size();
  found.layout = model_.layout();
  found.tokens = tokens(test);
  prepare(test);
  const kernels::Ceilings before = probe_.measure();
  run(test, &found.profile);
  found.ceilings = mean(before, probe_.measure());
  return found;
}

}  // namespace

std::string BenchTest::name() const {
  if (kind == BenchKind::kParallel) return fmt::format("npl{}", n);
  const char* what = kind == BenchKind::kPrompt ? "pp" : "tg";
  return depth == 0 ? fmt::format("{}{}", what, n) : fmt::format("{}{} @ d{}", what, n, depth);
}

void bench_threads(const model::Model& model, const BenchOptions& o, std::size_t threads,
                   BenchResult& result) {
  Runner runner(model, o, threads);
  for (const std::size_t depth : o.depths) {
    for (const auto& [kind, sizes] : {std::pair(BenchKind::kPrompt, &o.prompts),
                                      std::pair(BenchKind::kGenerate, &o.generations)}) {
      for (const std::size_t n : *sizes) result.rows.push_back(runner.measure({kind, n, depth}));
      if (o.profile && !sizes->empty()) {
        const std::size_t n = *std::ranges::max_element(*sizes);
        result.profiles.push_back(runner.profile({kind, n, depth}));
      }
    }
  }
  for (const std::size_t n : o.parallel) {
    result.rows.push_back(runner.measure({BenchKind::kParallel, n, 0}));
    if (o.profile) result.profiles.push_back(runner.profile({BenchKind::kParallel, n, 0}));
  }
}

}  // namespace tern::cli
