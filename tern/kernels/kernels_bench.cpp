// The products of the 2B model's shapes from cold weights, checked before they are timed, beside
// the ceilings of the same minute. `--benchmark_filter=avx512vbmi`, and TERN_THREADS threads
// (default 1).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tern/kernels/attention.h"
#include "tern/kernels/dense.h"
#include "tern/kernels/kernel_table.h"
#include "tern/kernels/machine_ceilings.h"
#include "tern/kernels/sliced.h"
#include "tern/kernels/ternary.h"

namespace tern::kernels {
namespace {

std::size_t threads() {
  const char* text = std::getenv("TERN_THREADS");
  return text == nullptr ? 1 : static_cast<std::size_t>(std::max(1, std::atoi(text)));
}

std::uint32_t next(std::uint32_t& state) { return state = state * 1664525u + 1013904223u; }

TernaryMatrix random_matrix(std::size_t rows, std::size_t cols, std::size_t group) {
  const std::size_t groups = group == 0 ? 1 : cols / group;
  TernaryMatrix w(rows, cols, group == 0 ? ScaleKind::kTensor : ScaleKind::kGroup, group,
                  std::vector<float>(group == 0 ? 1 : rows * groups, 0.02f));
  std::vector<std::int8_t> digits(cols);
  std::uint32_t state = 1;
  for (std::size_t r = 0; r < rows; ++r) {
    for (auto& d : digits)
      d = static_cast<std::int8_t>(static_cast<int>((next(state) >> 16) % 3) - 1);
    w.set_row(r, digits);
  }
  return w;
}

std::vector<float> random_floats(std::size_t n) {
  std::vector<float> x(n);
  std::uint32_t state = 7;
  for (float& v : x) v = static_cast<float>(static_cast<std::int32_t>(next(state))) * 0x1p-31f;
  return x;
}

// Whether y ends in scalar's bits for the last rows of the matrix.
bool same_as_scalar(const TernaryMatrix& w, const Int8Rows& x, const std::vector<float>& y) {
  constexpr std::size_t kRows = 4;
  TernaryMatrix last(
      kRows, w.cols(), w.scale_kind(), w.group(),
      std::vector<float>(w.scale_kind() == ScaleKind::kTensor ? 1 : kRows * w.groups_per_row(),
                         0.02f));
  std::vector<std::int8_t> digits(w.cols());
  for (std::size_t r = 0; r < kRows; ++r) {
    w.get_row(w.rows() - kRows + r, digits);
    last.set_row(r, digits);
  }
  std::vector<float> want(x.tokens * kRows);
  ThreadPool one(1);
  ternary_matmul(kScalar, last, x, want.data(), kRows, one);
  for (std::size_t t = 0; t < x.tokens; ++t) {
    const float* got = y.data() + (t + 1) * w.rows() - kRows;
    if (std::memcmp(got, want.data() + t * kRows, kRows * sizeof(float)) != 0) return false;
  }
  return true;
}

void bench_ternary(benchmark::State& state, const KernelTable* table) {
  const auto rows = static_cast<std::size_t>(state.range(0));
  const auto cols = static_cast<std::size_t>(state.range(1));
  const auto tokens = static_cast<std::size_t>(state.range(2));
  const auto group = static_cast<std::size_t>(state.range(3));
  ThreadPool pool(threads());
  const TernaryMatrix w = random_matrix(rows, cols, group);
  const std::vector<float> x = random_floats(tokens * cols);
  Int8Rows q;
  q.resize(tokens, cols, 0);
  quantize_rows(*table, x.data(), cols, q, pool);
  std::vector<float> y(tokens * rows);
  ternary_matmul(*table, w, q, y.data(), rows, pool);
  if (!same_as_scalar(w, q, y)) {
    return state.SkipWithError("wrong result: a speed without the right answer is no speed");
  }
  for (auto _ : state) ternary_matmul(*table, w, q, y.data(), rows, pool);
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(w.tiles() * w.tile_bytes()));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(rows * cols * tokens));
}

void bench_head(benchmark::State& state, const KernelTable* table, DType type) {
  const auto tokens = static_cast<std::size_t>(state.range(0));
  const std::size_t rows = 128256, cols = 2560;
  ThreadPool pool(threads());
  DenseMatrix w;
  w.type = type;
  w.rows = rows;
  w.cols = cols;
  w.owned = AlignedBuffer(*dtype_bytes(type, rows, cols));
  w.bytes = {w.owned.data(), w.owned.size()};
  std::uint32_t random = 3;
  auto bytes = w.owned.as<std::uint8_t>();
  for (auto& b : bytes) b = static_cast<std::uint8_t>(next(random) >> 26);  // Below 64: finite.
  const std::vector<float> x = random_floats(tokens * cols);
  std::vector<float> y(tokens * rows);
  dense_matmul(*table, w, x.data(), cols, tokens, y.data(), rows, pool);
  std::vector<float> row(cols);
  dense_row(kScalar, w, rows - 1, row.data());
  if (dot(kScalar, row.data(), x.data() + (tokens - 1) * cols, cols) != y.back()) {
    return state.SkipWithError("wrong result: a speed without the right answer is no speed");
  }
  for (auto _ : state) dense_matmul(*table, w, x.data(), cols, tokens, y.data(), rows, pool);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes.size()));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(rows * cols * tokens));
}

// The KV cache of the 2B model's shape (5 KV heads of 4 query heads, head_dim 128), `layers` times
// over so that it is cold. The last `tokens` of `positions` ask; tasks are tiles of 16 tokens, or
// spans where there is one token, as the forward pass has it.
struct AttentionBench {
  static constexpr std::size_t kKvHeads = 5, kGroup = 4, kHeadDim = 128;
  AttentionShape shape;
  std::size_t positions, tokens, layers;
  AlignedBuffer memory;
  std::vector<KvBlockView> blocks;  // By layer, KV head, block.
  std::vector<float> q, out;

  AttentionBench(const KernelTable& k, KvType type, std::size_t n_positions, std::size_t n_tokens,
                 std::size_t n_layers)
      : shape{kHeadDim, 0.0884f, type, type},
        positions(n_positions),
        tokens(n_tokens),
        layers(n_layers),
        memory(layers * kKvHeads * positions / kKvBlock *
               (kv_key_bytes(type, kHeadDim) + kv_value_bytes(type, kHeadDim))),
        q(random_floats(tokens * kKvHeads * kGroup * kHeadDim)),
        out(q.size()) {
    const std::vector<float> numbers = random_floats(4096 + kHeadDim);
    std::byte* at = memory.data();
    std::uint32_t random = 5;
    for (std::size_t b = 0; b < layers * kKvHeads * positions / kKvBlock; ++b) {
      std::byte* keys = at;
      std::byte* values = keys + kv_key_bytes(type, kHeadDim);
      at = values + kv_value_bytes(type, kHeadDim);
      for (std::size_t slot = 0; slot < kKvBlock; ++slot) {
        const float* x = numbers.data() + (next(random) >> 20);
        kv_store_key(k, type, x, kHeadDim, keys, slot);
        kv_store_value(k, type, x, kHeadDim, values, slot);
      }
      blocks.push_back({keys, values});
    }
  }

  QueryTile tile(std::size_t head, std::size_t first) {
    QueryTile t;
    t.stride = kKvHeads * kGroup * kHeadDim;
    t.q = q.data() + first * t.stride + head * kGroup * kHeadDim;
    t.out = out.data() + first * t.stride + head * kGroup * kHeadDim;
    t.tokens = std::min<std::size_t>(16, tokens - first);
    t.group = kGroup;
    t.position = positions - tokens + first;
    return t;
  }

  void run(const KernelTable& k, ThreadPool& pool, std::vector<AttentionScratch>& scratch,
           AlignedBuffer& states) {
    const std::size_t all_blocks = positions / kKvBlock, tiles = (tokens + 15) / 16;
    const std::size_t floats = attention_state_floats(kGroup, kHeadDim);
    for (std::size_t layer = 0; layer < layers; ++layer) {
      std::atomic<std::size_t> taken{0};
      const std::size_t spans = tokens == 1 ? positions / kKvSpan : 1;
      pool.run([&](std::size_t worker) {
        for (std::size_t i; (i = taken++) < kKvHeads * tiles * spans;) {
          const std::size_t head = i / spans % kKvHeads, span = i % spans;
          const std::span<const KvBlockView> own(
              blocks.data() + (layer * kKvHeads + head) * all_blocks, all_blocks);
          const QueryTile t = tile(head, 16 * (tiles - 1 - i / (spans * kKvHeads)));
          if (spans == 1) {
            attention(k, shape, t, own, scratch[worker]);
          } else {
            attention_span(k, shape, t, span, own.subspan(8 * span, 8), scratch[worker],
                           states.as<float>().data() + i * floats);
          }
        }
      });
      for (std::size_t head = 0; spans > 1 && head < kKvHeads; ++head) {
        float* first = states.as<float>().data() + head * spans * floats;
        for (std::size_t span = 1; span < spans; ++span) {
          attention_fold(k, kHeadDim, kGroup, first, first + span * floats);
        }
        attention_finish(k, shape, tile(head, 0), first);
      }
    }
  }
};

void bench_attention(benchmark::State& state, const KernelTable* table) {
  const auto type = static_cast<KvType>(state.range(0));
  const auto positions = static_cast<std::size_t>(state.range(1));
  const auto tokens = static_cast<std::size_t>(state.range(2));
  const std::size_t layers = tokens == 1 ? 30 : 1;
  AttentionBench bench(*table, type, positions, tokens, layers);
  ThreadPool pool(threads());
  std::vector<AttentionScratch> scratch;
  for (std::size_t i = 0; i < pool.size(); ++i) scratch.emplace_back(64, bench.kHeadDim);
  AlignedBuffer states(64 * attention_state_floats(bench.kGroup, bench.kHeadDim) * sizeof(float));
  bench.run(*table, pool, scratch, states);
  std::vector<float> want(bench.out.size());
  std::swap(want, bench.out);
  const QueryTile last = bench.tile(0, (tokens - 1) / 16 * 16);
  attention(
      kScalar, bench.shape, last,
      std::span(bench.blocks)
          .subspan((layers - 1) * bench.kKvHeads * positions / kKvBlock, positions / kKvBlock),
      scratch[0]);
  for (std::size_t i = 0; i < bench.kGroup * bench.kHeadDim; ++i) {
    const auto at = static_cast<std::size_t>(last.out - bench.out.data()) + i;
    if (want[at] != bench.out[at]) {
      return state.SkipWithError("wrong result: a speed without the right answer is no speed");
    }
  }
  for (auto _ : state) bench.run(*table, pool, scratch, states);
  const std::size_t pairs = tokens * positions - tokens * (tokens - 1) / 2;
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bench.memory.size()));
  state.SetItemsProcessed(state.iterations() *
                          static_cast<std::int64_t>(layers * pairs * 2 * bench.kKvHeads *
                                                    bench.kGroup * bench.kHeadDim));

  // The head of 128k words as a SlicedMatrix: a screen of one hidden state (0), of `tokens`, or, as
  // -1, all exact logits of one.
  void bench_sliced(benchmark::State & state, const KernelTable* table) {
    const auto tokens = static_cast<std::size_t>(std::max<std::int64_t>(state.range(0), 1));
    const std::size_t rows = 128256, cols = 2560;
    ThreadPool pool(threads());
    DenseMatrix q6k;
    q6k.type = DType::kQ6_K;
    q6k.rows = rows;
    q6k.cols = cols;
    q6k.owned = AlignedBuffer(*dtype_bytes(q6k.type, rows, cols));
    q6k.bytes = {q6k.owned.data(), q6k.owned.size()};
    std::uint32_t random = 3;
    auto bytes = q6k.owned.as<std::uint8_t>();
    for (auto& b : bytes) b = static_cast<std::uint8_t>(next(random) >> 24);
    for (std::size_t i = 0; i < rows * cols / 256; ++i) bytes[i * 210 + 209] &= 0x3f;  // Finite.
    const SlicedMatrix w(q6k, pool);
    q6k = DenseMatrix();
    const std::vector<float> x = random_floats(tokens * cols);
    ScreenInput input;
    input.resize(tokens, w.blocks());
    for (std::size_t t = 0; t < tokens; ++t) input.set(t, x.data() + t * cols, w);
    const std::size_t panels = (rows + kScreenPanel - 1) / kScreenPanel;
    std::vector<float> upper(tokens * rows), maxima(tokens * panels);
    const auto run = [&] {
      if (state.range(0) < 0) {
        sliced_matmul(*table, w, x.data(), cols, 1, upper.data(), rows, pool);
      } else if (state.range(0) == 0) {
        screen(*table, w, input[0], upper.data(), maxima.data(), pool);
      } else {
        screen_many(*table, w, input, upper.data(), rows, maxima.data(), panels, pool);
      }
    };
    run();
    const float exact = sliced_dot(kScalar, w, rows - 1, x.data() + (tokens - 1) * cols);
    if (!(state.range(0) < 0 ? upper[rows - 1] == exact : upper.back() >= exact)) {
      return state.SkipWithError("wrong result: a speed without the right answer is no speed");
    }
    for (auto _ : state) run();
    const std::size_t read = state.range(0) == 0 ? rows * w.record_bytes() : w.bytes();
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(read));
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(rows * cols * tokens));
  }

  void bench_ceilings(benchmark::State & state, const KernelTable* table) {
    ThreadPool pool(threads());
    CeilingProbe probe(*table, pool);
    for (auto _ : state) {
      const Ceilings found = probe.measure();
      state.counters["read_GB/s"] = found.read / 1e9;
      state.counters["GMAC/s"] = found.int8_macs / 1e9;
    }
  }

}  // namespace
}  // namespace tern::kernels

int main(int argc, char** argv) {
  using namespace tern::kernels;
  for (const KernelTable* table : all_tables()) {
    if (!table->supported() || table == &kScalar) continue;
    const auto name = [&](const char* what) { return std::string(what) + "/" + table->name; };
    benchmark::RegisterBenchmark(name("ceilings").c_str(), bench_ceilings, table)->Iterations(1);
    auto* attention =
        benchmark::RegisterBenchmark(name("attention").c_str(), bench_attention, table);
    for (const std::int64_t type : {0, 1, 2, 3}) {
      attention->Args({type, 4096, 1})->Args({type, 512, 512});
    }
    attention->ArgNames({"type", "positions", "tokens"})->UseRealTime();
    benchmark::RegisterBenchmark(name("ternary").c_str(), bench_ternary, table)
        ->Args({27648, 2560, 1, 0})
        ->Args({2560 * 8, 6912, 1, 0})
        ->Args({27648, 2560, 1, 128})
        ->Args({6912, 2560, 8, 0})
        ->Args({6912, 2560, 128, 0})
        ->Args({2560, 6912, 128, 0})
        ->Args({6912, 2560, 128, 128})
        ->UseRealTime();
    benchmark::RegisterBenchmark(name("head_sliced").c_str(), bench_sliced, table)
        ->Arg(-1)
        ->Arg(0)
        ->Arg(1)
        ->Arg(8)
        ->Arg(32)
        ->UseRealTime();
    benchmark::RegisterBenchmark(name("head_q6_k").c_str(), bench_head, table, tern::DType::kQ6_K)
        ->Arg(1)
        ->Arg(8)
        ->UseRealTime();
    benchmark::RegisterBenchmark(name("head_f16").c_str(), bench_head, table, tern::DType::kF16)
        ->Arg(1)
        ->Arg(8)
        ->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
