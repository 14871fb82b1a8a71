// Whole models against float64 goldens (tests/reference/), and the promise that the bits do not
// depend on instruction set, threads, batch or neighbours.
#include "tern/model/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "tern/arch/rope_frequencies.h"
#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/math.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"
#include "tern/model/trace.h"

namespace tern::model {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> golden_folders() {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(TERN_GOLDEN_DIR)) {
    if (fs::exists(entry.path() / "expected.json")) folders.push_back(entry.path());
  }
  std::ranges::sort(folders);
  return folders;
}

class Golden : public testing::TestWithParam<fs::path> {
 protected:
  Golden()
      : checkpoint_(checkpoint::open_checkpoint(GetParam(), {}, false)),
        expected_(parse_json(std::string_view(read_text_file(GetParam() / "expected.json")),
                             "expected.json")) {
    for (const Json& id : expected_["tokens"]) tokens_.push_back(id.get<std::uint32_t>());
  }

  // Logits of every token, the text cut into parts of `batch` tokens.
  std::vector<float> logits(const char* isa, std::size_t threads, std::size_t batch,
                            kernels::KvType kv = kernels::KvType::kF32) {
    ThreadPool pool(threads);
    const Model model(checkpoint_, kernels::choose_table(isa), tokens_.size(), pool);
    KvPool cache(model.config(), tokens_.size(), kv, kv);
    Session session(cache);
    Forward forward(model, pool, batch);
    std::vector<float> all;
    for (std::size_t at = 0; at < tokens_.size(); at += batch) {
      const std::size_t count = std::min(batch, tokens_.size() - at);
      const auto hidden = forward.run({{&session, std::span(tokens_).subspan(at, count), 0}});
      std::vector<float> part(count * model.config().vocab);
      Head(model).logits(hidden, part, pool);
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }

  std::shared_ptr<const checkpoint::Checkpoint> checkpoint_;
  Json expected_;
  std::vector<std::uint32_t> tokens_;
};

// The profile's bytes and multiply-adds are the model's own, and it changes no bit.
TEST_P(Golden, ProfileCountsWhatAPassReadsAndDoes) {
  ThreadPool pool(2);
  const Model model(checkpoint_, kernels::table_from_environment(), tokens_.size(), pool);
  const arch::ModelConfig& c = model.config();
  KvPool cache(c, tokens_.size(), kernels::KvType::kF16, kernels::KvType::kF32);
  Session session(cache);
  Forward forward(model, pool, tokens_.size());
  std::vector<float> plain(c.vocab), profiled(c.vocab);
  const std::size_t count = tokens_.size();
  Head(model).logits(forward.run({{&session, tokens_, count - 1}}), plain, pool);
  session.truncate(0);
  Profile profile;
  const double start = monotonic_seconds();
  const auto hidden = forward.run({{&session, tokens_, count - 1}}, nullptr, &profile);
  Head(model).logits(hidden, profiled, pool, &profile);
  const double spent = monotonic_seconds() - start;
  EXPECT_EQ(plain, profiled);

  OpCost sum;
  for (std::size_t op = 0; op < kOpNames.size(); ++op) {
    const OpCost& cost = profile.cost(static_cast<Op>(op));
    EXPECT_GE(cost.seconds, 0) << kOpNames[op];
    sum.seconds += cost.seconds;
    if (static_cast<Op>(op) == Op::kAttention) continue;
    sum.bytes += cost.bytes;
    sum.macs += cost.macs;
  }
  EXPECT_LE(sum.seconds, spent);
  EXPECT_EQ(sum.bytes, model.bytes_per_token());
  std::size_t dense_macs = c.vocab * c.hidden;
  for (const LayerWeights& w : model.layers()) {
    for (const Linear* l : {&w.q, &w.k, &w.v, &w.o, &w.gate, &w.up, &w.down}) {
      const auto* dense = std::get_if<DenseMatrix>(&l->weight);
      if (dense != nullptr) dense_macs += count * dense->rows * dense->cols;
    }
  }
  EXPECT_EQ(sum.macs, count * model.ternary_macs_per_token() + dense_macs);
  const OpCost& attention = profile.cost(Op::kAttention);
  EXPECT_EQ(attention.bytes, count * cache.bytes_per_position());
  EXPECT_EQ(attention.macs, count * (count + 1) * c.layers * c.q_width());
}

// expected.json's inputs keep clear of rounding boundaries, so 1e-3 is a bound, not a hope.
TEST_P(Golden, LogProbabilitiesAgreeWithFloat64) {
  const std::vector<float> found = logits("", 1, tokens_.size());
  const std::size_t vocab = checkpoint_->config().vocab;
  for (std::size_t t = 0; t + 1 < tokens_.size(); ++t) {
    const float* row = found.data() + t * vocab;
    double sum = 0;
    for (std::size_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(row[i]));
    const double logprob = static_cast<double>(row[tokens_[t + 1]]) - std::log(sum);
    EXPECT_NEAR(logprob, expected_["logprobs"][t].get<double>(), 1e-3) << "token " << t + 1;
  }
}

TEST_P(Golden, SameBitsWhateverTheTableThreadsAndBatch) {
  const std::vector<float> reference = logits("scalar", 1, tokens_.size());
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if (!kernels::table_supported(*table)) continue;
    const std::string name(kernels::table_name(*table));
    for (const std::size_t batch : {tokens_.size(), std::size_t{1}, std::size_t{7}}) {
      for (const std::size_t threads : {1u, 3u}) {
        const std::vector<float> found = logits(name.c_str(), threads, batch);
        EXPECT_EQ(std::memcmp(found.data(), reference.data(), found.size() * 4), 0)
            << name << ", " << threads << " threads, batch " << batch;
      }
    }
  }
}

TEST_P(Golden, NeighboursInABatchChangeNothing) {
  ThreadPool pool(2);
  const Model model(checkpoint_, kernels::choose_table(""), tokens_.size(), pool);
  KvPool cache(model.config(), 8 * tokens_.size() + 512, kernels::KvType::kF16,
               kernels::KvType::kF16);
  const std::span<const std::uint32_t> text(tokens_);
  const std::vector<float> alone = logits("", 2, tokens_.size(), kernels::KvType::kF16);
  // Three sessions at different places of the same text, advanced together.
  Session a(cache), b(cache), c(cache);
  Forward forward(model, pool, 3 * tokens_.size());
  forward.run({{&b, text.subspan(0, 5), 5}, {&c, text.subspan(0, 11), 11}});
  const auto hidden = forward.run(
      {{&a, text.subspan(0, 20), 19}, {&b, text.subspan(5, 1), 0}, {&c, text.subspan(11, 9), 8}});
  const std::size_t vocab = model.config().vocab;
  std::vector<float> together(3 * vocab);
  Head(model).logits(hidden, together, pool);
  EXPECT_EQ(std::memcmp(together.data(), alone.data() + 19 * vocab, vocab * 4), 0);
  EXPECT_EQ(std::memcmp(together.data() + vocab, alone.data() + 5 * vocab, vocab * 4), 0);
  EXPECT_EQ(std::memcmp(together.data() + 2 * vocab, alone.data() + 19 * vocab, vocab * 4), 0);
  // Going back and on again gives the same.
  a.truncate(10);
  const auto again = forward.run({{&a, text.subspan(10, 10), 9}});
  std::vector<float> row(vocab);
  Head(model).logits(again, row, pool);
  EXPECT_EQ(std::memcmp(row.data(), alone.data() + 19 * vocab, vocab * 4), 0);
}

TEST_P(Golden, RefusesWhatDoesNotFit) {
  ThreadPool pool(1);
  EXPECT_THROW(Model(checkpoint_, kernels::choose_table(""), std::size_t{1} << 40, pool), Error);
  const Model model(checkpoint_, kernels::choose_table(""), 16, pool);
  KvPool cache(model.config(), 16, kernels::KvType::kF32, kernels::KvType::kF32);
  Forward forward(model, pool, 16);
  Session session(cache);
  const auto bad = static_cast<std::uint32_t>(model.config().vocab);
  EXPECT_THROW(forward.run({{&session, {&bad, 1}, 0}}), Error);
  EXPECT_EQ(session.position(), 0u);
  const std::vector<std::uint32_t> zeros(17, 0);
  EXPECT_THROW(forward.run({{&session, zeros, 0}}), Error);
  forward.run({{&session, std::span(zeros).subspan(0, 16), 16}});
  EXPECT_THROW(forward.run({{&session, std::span(zeros).subspan(0, 1), 0}}), Error);
  Session second(cache);  // 16 positions are one block, which the first session has.
  EXPECT_THROW(forward.run({{&second, std::span(zeros).subspan(0, 1), 0}}), Error);
  session.truncate(0);
  EXPECT_NO_THROW(forward.run({{&second, std::span(zeros).subspan(0, 1), 0}}));
}

INSTANTIATE_TEST_SUITE_P(Models, Golden, testing::ValuesIn(golden_folders()),
                         [](const auto& test) { return test.param.filename().string(); });

// A checkpoint that no file holds: norms of ones, matrices from the test.
class UnitNorms : public checkpoint::Checkpoint {
 public:
  std::string_view format() const noexcept override { return "test"; }
  std::vector<checkpoint::TensorInfo> tensors() const override { return {}; }
  std::vector<float> vector(arch::TensorRole role, std::size_t) const override {
    using arch::TensorRole;
    const bool norm = role == TensorRole::kAttnNorm || role == TensorRole::kFfnNorm ||
                      role == TensorRole::kOutputNorm;
    return norm ? std::vector<float>(config_.hidden, 1.0f) : std::vector<float>();
  }
};

// One layer that declares nothing: v in full precision has no int8 activations, q and k have them
// in different groups.
class MixedScales final : public UnitNorms {
 public:
  MixedScales(std::size_t q_group, std::size_t k_group) : q_group_(q_group), k_group_(k_group) {
    config_.hidden = config_.ffn = 128;
    config_.layers = 1;
    config_.heads = config_.kv_heads = 2;
    config_.head_dim = 64;
    config_.vocab = 8;
    config_.context = 16;
    config_.tied_head = true;
  }
  Matrix matrix(arch::TensorRole role, std::size_t, ThreadPool&, TernaryLayout) const override {
    if (role == arch::TensorRole::kEmbedding || role == arch::TensorRole::kV) {
      DenseMatrix m;
      m.type = DType::kF32;
      m.rows = role == arch::TensorRole::kV ? 128 : 8;
      m.cols = 128;
      m.owned = AlignedBuffer(m.rows * m.cols * sizeof(float));
      std::ranges::fill(m.owned.as<float>(), 0.5f);
      m.bytes = {m.owned.data(), m.owned.size()};
      return m;
    }
    const std::size_t group = role == arch::TensorRole::kQ   ? q_group_
                              : role == arch::TensorRole::kK ? k_group_
                                                             : 0;
    if (group == 0) return TernaryMatrix(128, 128, ScaleKind::kTensor, 0, {1.0f});
    return TernaryMatrix(128, 128, ScaleKind::kGroup, group,
                         std::vector<float>(128 * 128 / group, 1.0f));
  }

 private:
  std::size_t q_group_, k_group_;
};

// Counts the columns of what it is shown.
struct Columns final : Trace {
  void rows(const std::string& name, DType, const void*, std::size_t, std::size_t cols,
            std::size_t) override {
    EXPECT_TRUE(columns.emplace(name, cols).second) << name << " is shown twice";
  }
  std::map<std::string, std::size_t> columns;
};

TEST(TraceOfMixedScales, ShowsTheActivationsOfTheFirstTernaryMatrix) {
  for (const auto& [q_group, k_group, groups] :
       {std::array<std::size_t, 3>{64, 0, 2}, {0, 64, 1}, {64, 128, 2}, {128, 64, 1}}) {
    ThreadPool pool(1);
    const Model model(std::make_shared<MixedScales>(q_group, k_group), kernels::choose_table(""),
                      16, pool);
    KvPool cache(model.config(), 16, kernels::KvType::kF32, kernels::KvType::kF32);
    Session session(cache);
    Forward forward(model, pool, 1);
    Columns trace;
    const std::uint32_t token = 3;
    forward.run({{&session, {&token, 1}, 0}}, &trace);
    EXPECT_EQ(trace.columns["layers.0.qkv.q8_scale"], groups) << q_group << " and " << k_group;
    EXPECT_EQ(trace.columns["layers.0.qkv.q8"], 128u);
    EXPECT_EQ(trace.columns["layers.0.down.q8_scale"], 1u);
  }
}

// One layer of random weights in full precision, of a context that has several spans.
class RandomLayer final : public UnitNorms {
 public:
  RandomLayer() {
    config_.hidden = config_.ffn = 64;
    config_.layers = 2;
    config_.heads = 4;
    config_.kv_heads = 2;
    config_.head_dim = 32;
    config_.vocab = 64;
    config_.context = 1200;
    config_.tied_head = true;
  }
  Matrix matrix(arch::TensorRole role, std::size_t layer, ThreadPool&,
                TernaryLayout) const override {
    using arch::TensorRole;
    DenseMatrix m;
    m.type = DType::kF32;
    m.rows = role == TensorRole::kQ                             ? config_.q_width()
             : role == TensorRole::kK || role == TensorRole::kV ? config_.kv_width()
                                                                : 64;
    m.cols = role == TensorRole::kO ? config_.q_width() : 64;
    m.owned = AlignedBuffer(m.rows * m.cols * sizeof(float));
    std::uint32_t state = static_cast<std::uint32_t>(role) * 7 + static_cast<std::uint32_t>(layer);
    for (float& v : m.owned.as<float>()) {
      state = state * 1664525u + 1013904223u;
      v = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-33f;
    }
    m.bytes = {m.owned.data(), m.owned.size()};
    return m;
  }
};

// 1100 tokens are three spans: a prompt at once, in pieces, and continued token by token, by
// threads that share spans and by one that does not.
TEST(LongTexts, SameBitsHoweverTheyAreCut) {
  std::vector<std::uint32_t> text;
  for (std::uint32_t i = 0; i < 1100; ++i) text.push_back(i * i % 61);
  const std::span<const std::uint32_t> tokens(text);
  for (const kernels::KvType type : {kernels::KvType::kF32, kernels::KvType::kF16,
                                     kernels::KvType::kInt8, kernels::KvType::kInt4}) {
    std::vector<float> want;
    for (const std::size_t threads : {1u, 2u, 5u}) {
      ThreadPool pool(threads);
      const Model model(std::make_shared<RandomLayer>(), kernels::choose_table(""), 1200, pool);
      KvPool cache(model.config(), 4 * 1200, type, type);
      Forward forward(model, pool, 1100);
      const auto last = [&](std::size_t at_once) {
        Session session(cache);
        std::vector<float> out;
        const std::size_t start = 1100 - 20;
        forward.run({{&session, tokens.subspan(0, start), start}});
        for (std::size_t at = start; at < 1100; at += at_once) {
          const auto hidden = forward.run({{&session, tokens.subspan(at, at_once), 0}});
          out.insert(out.end(), hidden.begin(), hidden.end());
        }
        return out;
      };
      Session whole(cache);
      const auto hidden = forward.run({{&whole, tokens, 1100 - 20}});
      if (want.empty()) want.assign(hidden.begin(), hidden.end());
      ASSERT_EQ(want.size(), 20 * model.config().hidden);
      EXPECT_EQ(std::memcmp(hidden.data(), want.data(), want.size() * 4), 0) << threads;
      for (const std::size_t at_once : {1u, 5u, 20u}) {
        EXPECT_EQ(std::memcmp(last(at_once).data(), want.data(), want.size() * 4), 0)
            << threads << " threads, " << at_once << " at once";
      }
    }
  }
}

// Llama 3.1's published scaling at its published settings: short wavelengths kept, long ones
// divided by 8, and in between the values that its formula gives (computed by hand for i = 30).
TEST(RopeFrequencies, Llama3Scaling) {
  arch::ModelConfig c;
  c.head_dim = 128;
  c.rope_theta = 500000;
  c.rope_llama3 = arch::Llama3RopeScaling{8, 1, 4, 8192};
  const auto factors = arch::rope_factors(c);
  EXPECT_EQ(factors[0], 1);
  EXPECT_EQ(factors[63], 8);
  const double frequency = std::pow(500000.0, -60.0 / 128);
  const double wavelength = 2 * 3.14159265358979323846 / frequency;
  ASSERT_GT(wavelength, 8192 / 4.0);
  ASSERT_LT(wavelength, 8192);
  const double smooth = (8192 / wavelength - 1) / 3;
  EXPECT_NEAR(factors[30], frequency / ((1 - smooth) * frequency / 8 + smooth * frequency), 1e-6);
  EXPECT_EQ(factors[30],
            static_cast<double>(static_cast<float>(factors[30])));  // As a GGUF has it.
  EXPECT_NEAR(arch::rope_frequencies(c)[30], frequency / factors[30], 1e-15);
}

}  // namespace
}  // namespace tern::model
