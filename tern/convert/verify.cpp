// One function per check, in order; the first that fails ends the list.
#include "tern/convert/verify.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "tern/base/error.h"
#include "tern/convert/kernel_check.h"
#include "tern/convert/synth.h"
#include "tern/kernels/dispatch.h"
#include "tern/model/forward.h"
#include "tern/model/head.h"
#include "tern/model/kv_pool.h"
#include "tern/model/model.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::convert {
namespace {

constexpr std::array<std::string_view, 9> kTexts{
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park "
    "with her friends, and every day she learned something new about the world.",
    "\u6614\u3005\u3042\u308b\u6240\u306b\u3001\u304a\u3058\u3044\u3055\u3093\u3068\u304a\u3070"
    "\u3042\u3055\u3093\u304c\u4f4f\u3093\u3067\u3044\u307e\u3057\u305f\u3002\u304a\u3058\u3044"
    "\u3055\u3093\u306f\u5c71\u3078\u3001\u304a\u3070\u3042\u3055\u3093\u306f\u5ddd\u3078\u884c"
    "\u304d\u307e\u3057\u305f\u3002",
    "\U0001F600\U0001F680 \U0001F468\u200D\U0001F469\u200D\U0001F467 \u2764\uFE0F "
    "\U0001F1EF\U0001F1F5",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 123",
    "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439, \u043c\u0438\u0440! \u4f60"
    "\u597d\uff0c\u4e16\u754c\u3002 \ud55c\uad6d\uc5b4",
    "for (int i = 0; i < 10; ++i) {\n\tx[i] += \"a\\n\" ? 0x1F : 3.14e-5;  // done\n}\n",
    "caf\u00e9 na\u00efve \u00dcber \u0432\u0441\u0451 \u0928\u092e\u0938\u094d\u0924\u0947",
    "a  b   c    d\n\n\n  e\t\tf",
    "1234567890 1,234.56 2024-02-29",
};
constexpr std::size_t kScoredTexts = 2;  // The first ones are scored as well.

class Verifier {
 public:
  Verifier(std::filesystem::path path, const checkpoint::OpenOptions& options, ThreadPool& pool,
           const Progress& progress)
      : path_(std::move(path)), options_(options), pool_(pool), progress_(progress) {}

  VerifyReport run() {
    using Check = VerifyCheck (Verifier::*)();
    constexpr std::array<std::pair<const char*, Check>, 6> kChecks{{
        {"file", &Verifier::file},
        {"tokenizer", &Verifier::tokenizer},
        {"weights", &Verifier::weights},
        {"kernels", &Verifier::kernels},
        {"logits", &Verifier::logits},
        {"text", &Verifier::text},
    }};
    VerifyReport report;
    for (const auto& [name, check] : kChecks) {
      VerifyCheck result;
      try {
        result = (this->*check)();
      } catch (const Error& e) {
        result = {"", CheckStatus::kFail, e.what()};
      }
      result.name = name;
      report.checks.push_back(std::move(result));
      if (report.checks.back().status == CheckStatus::kFail) break;
    }
    return report;
  }

 private:
  static VerifyCheck pass(std::string detail) {
    return {"", CheckStatus::kPass, std::move(detail)};
  }
  static VerifyCheck fail(std::string detail) {
    return {"", CheckStatus::kFail, std::move(detail)};
  }
  static VerifyCheck skipped(std::string detail) {
    return {"", CheckStatus::kSkipped, std::move(detail)};
  }

  VerifyCheck file() {
    checkpoint_ = checkpoint::open_checkpoint(path_, options_);
    return pass(fmt::format("{}, {} tensors of {} layers", checkpoint_->format(),
                            checkpoint_->tensors().size(), checkpoint_->config().layers));
  }

  // Whether the tokenizer is meant to give every text back.
  static std::string why_lossy(const tokenizer::TokenizerData& data) {
    if (data.remove_extra_whitespaces) return "it joins blanks";
    if (data.kind != tokenizer::TokenizerKind::kByteBpe && !data.byte_fallback) {
      return "it has no pieces for bytes";
    }
    return "";
  }

  VerifyCheck tokenizer() {
    if (!checkpoint_->tokenizer()) return skipped("the model has no tokenizer");
    tokenizer_.emplace(*checkpoint_->tokenizer());
    const std::string lossy = why_lossy(tokenizer_->data());
    if (!lossy.empty()) return skipped("the tokenizer does not keep every text: " + lossy);
    for (const std::string_view text : kTexts) {
      const auto ids = tokenizer_->encode(text, false);
      const std::string back = tokenizer_->decode(ids, true);
      if (back != text) {
        const auto [at, _] = std::ranges::mismatch(back, text);
        return fail(fmt::format("the text '{}' comes back as '{}', different from byte {} on", text,
                                back, at - back.begin()));
      }
    }
    return pass(fmt::format("{} texts come back as they were", kTexts.size()));
  }

  std::unique_ptr<const model::Model> load(const kernels::KernelTable& table) {
    constexpr std::size_t kContext = 512;
    const std::size_t made_for = checkpoint_->config().context;
    return std::make_unique<const model::Model>(checkpoint_, table, std::min(made_for, kContext),
                                                pool_, progress_);
  }

  VerifyCheck weights() {
    model_ = load(*usable_tables().front());
    const std::size_t ternary = model_->ternary_macs_per_token();
    if (ternary == 0) return pass("full-precision ones, all read");
    return pass(fmt::format("{:.1f} million ternary ones: every code a digit, scales finite",
                            static_cast<double>(ternary) / 1e6));
  }

  VerifyCheck kernels() {
    std::size_t matrices = 0;
    std::optional<std::string> difference;
    const auto check = [&](const Matrix& matrix, std::size_t group, bool linear,
                           const std::string& name) {
      if (difference) return;
      ++matrices;
      difference = kernel_difference(matrix, group, linear, pool_);
      if (difference) *difference = name + ": " + *difference;
    };
    check(model_->embedding(), 0, false, "embedding");
    if (&model_->head() != &model_->embedding()) check(model_->head(), 0, false, "head");
    for (std::size_t i = 0; i < model_->layers().size(); ++i) {
      const model::LayerWeights& w = model_->layers()[i];
      const std::array<std::pair<const char*, const model::Linear*>, 7> linears{
          {{"q", &w.q},
           {"k", &w.k},
           {"v", &w.v},
           {"o", &w.o},
           {"gate", &w.gate},
           {"up", &w.up},
           {"down", &w.down}}};
      for (const auto& [name, linear] : linears) {
        check(linear->weight, linear->activation_group, true, fmt::format("layer {} {}", i, name));
      }
    }
    if (difference) return fail(*difference);
    return pass(fmt::format("{} matrices: {} agree", matrices, table_names()));
  }

  static std::string table_names() {
    std::string names;
    for (const auto* table : usable_tables()) {
      names += (names.empty() ? "" : ", ") + std::string(kernels::table_name(*table));
    }
    return names;
  }

  // Logits of every token, `step` tokens in one forward pass.
  std::vector<float> all_logits(const model::Model& model, std::span<const std::uint32_t> tokens,
                                std::size_t step) {
    const arch::ModelConfig& c = model.config();
    model::KvPool cache(c, tokens.size(), kernels::KvType::kF32, kernels::KvType::kF32);
    model::Session session(cache);
    model::Forward forward(model, pool_, step);
    std::vector<float> logits(tokens.size() * c.vocab);
    for (std::size_t at = 0; at < tokens.size(); at += step) {
      const std::size_t n = std::min(step, tokens.size() - at);
      const auto hidden = forward.run({{&session, tokens.subspan(at, n), 0}});
      model::Head(model).logits(hidden, std::span(logits).subspan(at * c.vocab, n * c.vocab),
                                pool_);
    }
    return logits;
  }

  VerifyCheck logits() {
    const std::size_t vocab = checkpoint_->config().vocab;
    std::vector<std::uint32_t> tokens;
    const std::size_t count = std::min<std::size_t>(6, model_->context());
    for (std::size_t i = 0; i < count; ++i) {
      tokens.push_back(static_cast<std::uint32_t>((1 + i * 7919) % vocab));
    }
    const std::vector<float> expected = all_logits(*model_, tokens, tokens.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (!std::isfinite(expected[i])) {
        return fail(fmt::format("the logit of token {} at position {} is {}, expected a finite one",
                                i % vocab, i / vocab, expected[i]));
      }
    }
    if (auto difference =
            compare(all_logits(*model_, tokens, 1), expected, "token by token", "as one prompt")) {
      return fail(*difference);
    }
    const auto tables = usable_tables();
    const std::string first(kernels::table_name(*tables.front()));
    for (const auto* table : std::span(tables).subspan(1)) {
      const auto other = load(*table);
      if (auto difference = compare(all_logits(*other, tokens, tokens.size()), expected,
                                    std::string(kernels::table_name(*table)), first)) {
        return fail(*difference);
      }
    }
    return pass(fmt::format("finite; {} agree, and token by token", table_names()));
  }

  std::optional<std::string> compare(const std::vector<float>& found,
                                     const std::vector<float>& expected, const std::string& name,
                                     const std::string& against) const {
    const std::size_t vocab = checkpoint_->config().vocab;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (std::memcmp(&found[i], &expected[i], sizeof(float)) == 0) continue;
      return fmt::format("the logit of token {} at position {} is {} {}, but {} {}", i % vocab,
                         i / vocab, found[i], name, expected[i], against);
    }
    return std::nullopt;
  }

  // Mean log-probability of the tokens of `text`; nullopt where there are none.
  std::optional<double> mean_logprob(std::string_view text) {
    constexpr std::size_t kMost = 48;  // A quarter of a minute for a big model on an old CPU.
    auto tokens = tokenizer_->encode_with_bos(text, false);
    tokens.resize(std::min({tokens.size(), kMost, model_->context()}));
    if (tokens.size() < 2) return std::nullopt;
    const std::size_t vocab = checkpoint_->config().vocab;
    const std::vector<float> logits = all_logits(*model_, tokens, tokens.size());
    double sum = 0;
    for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
      const auto row = std::span(logits).subspan(t * vocab, vocab);
      const double most = *std::ranges::max_element(row);
      double total = 0;
      for (const float logit : row) total += std::exp(static_cast<double>(logit) - most);
      sum += static_cast<double>(row[tokens[t + 1]]) - most - std::log(total);
    }
    return sum / static_cast<double>(tokens.size() - 1);
  }

  VerifyCheck text() {
    if (!tokenizer_) return skipped("the model has no tokenizer");
    const double uniform = -std::log(static_cast<double>(checkpoint_->config().vocab));
    double best = -INFINITY;
    for (const std::string_view text : std::span(kTexts).first(kScoredTexts)) {
      if (const auto mean = mean_logprob(text)) best = std::max(best, *mean);
    }
    const std::string numbers = fmt::format("{:.2f} nats a token, chance {:.2f}", -best, -uniform);
    if (best > uniform) return pass("better than chance: " + numbers);
    if (checkpoint_->config().name.starts_with(kSynthName)) {
      return {"", CheckStatus::kWarning,
              "no better than chance, as random weights are: " + numbers};
    }
    return fail("no better than chance: " + numbers);
  }

  std::filesystem::path path_;
  const checkpoint::OpenOptions& options_;
  ThreadPool& pool_;
  const Progress& progress_;
  std::shared_ptr<const checkpoint::Checkpoint> checkpoint_;
  std::optional<tokenizer::Tokenizer> tokenizer_;
  std::unique_ptr<const model::Model> model_;
};

}  // namespace

bool VerifyReport::passed() const noexcept {
  return std::ranges::none_of(
      checks, [](const VerifyCheck& check) { return check.status == CheckStatus::kFail; });
}

VerifyReport verify(const std::filesystem::path& path, const checkpoint::OpenOptions& options,
                    ThreadPool& pool, const Progress& progress) {
  return Verifier(path, options, pool, progress).run();
}

}  // namespace tern::convert
