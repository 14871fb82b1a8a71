// The products of the 2B model's shapes from cold weights, checked before they are timed, beside
// the ceilings of the same minute. `--benchmark_filter=avx512vnni`, and TERN_THREADS threads
// (default 1).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

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
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(rows * w.row_bytes()));
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

// The head of 128k words as a SlicedMatrix: a screen of one hidden state (0), of `tokens`, or, as
// -1, all exact logits of one.
void bench_sliced(benchmark::State& state, const KernelTable* table) {
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

void bench_ceilings(benchmark::State& state, const KernelTable* table) {
  ThreadPool pool(threads());
  for (auto _ : state) {
    state.counters["read_GB/s"] = measure_read_bandwidth(*table, pool, std::size_t{1} << 29) / 1e9;
    state.counters["GMAC/s"] = measure_int8_macs(*table, pool) / 1e9;
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
