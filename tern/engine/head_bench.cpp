// Counts what screens of a head read and whether they choose as the full head does:
//   head_bench MODEL.gguf TEXT POSITIONS
// One line per kind of request, over the first POSITIONS tokens of the text in windows of 256.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/mapped_file.h"
#include "tern/engine/sampler.h"
#include "tern/model/forward.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::engine {
namespace {

constexpr std::size_t kWindow = 256;

struct Kind {
  const char* name;
  SamplerParams params;
  std::size_t bytes = 0, exact = 0, agreed = 0, most_exact = 0;
};

std::vector<Kind> kinds() {
  SamplerParams greedy, chain, min_p, penalties;
  greedy.temperature = 0;
  min_p.top_k = 0;
  min_p.top_p = 1;
  penalties.repeat_penalty = 1.1;
  return {{"greedy", greedy},
          {"default chain (top-k 40)", chain},
          {"min-p 0.05 alone", min_p},
          {"chain with repeat penalty 1.1", penalties}};
}

// One window: logits of all positions, then each kind's choice from few and from all.
void count_window(model::Forward& forward, model::Head& head, model::KvPool& cache,
                  ThreadPool& pool, std::span<const std::uint32_t> tokens, std::vector<Kind>& list,
                  Kind& batch) {
  const std::size_t width = forward.model().config().hidden;
  const std::size_t vocab = forward.model().config().vocab;
  model::Session session(cache);
  const auto run = forward.run({{&session, tokens, 0}});
  const std::vector<float> hidden(run.begin(), run.end());
  std::vector<float> logits(vocab);
  std::vector<std::pair<Sampler, Sampler>> samplers;
  for (const Kind& kind : list) samplers.emplace_back(Sampler(kind.params), Sampler(kind.params));
  std::vector<std::uint32_t> greedy;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const auto state = std::span(hidden).subspan(t * width, width);
    head.logits(state, logits, pool);
    for (std::size_t i = 0; i < list.size(); ++i) {
      auto& [all, few] = samplers[i];
      all.accept(tokens[t]);
      few.accept(tokens[t]);
      const std::uint32_t want = all.sample(logits);
      if (i == 0) greedy.push_back(want);
      const auto request = few.request();
      std::vector<model::TokenLogit> best;
      const model::BestWork work = head.best(state, {&*request, 1}, {&best, 1}, pool);
      list[i].bytes += work.bytes;
      list[i].exact += work.exact;
      list[i].most_exact = std::max(list[i].most_exact, work.exact);
      list[i].agreed += few.sample(std::span<const model::TokenLogit>(best)) == want;
    }
  }
  const std::vector<model::BestRequest> requests(tokens.size(),
                                                 {.count = 1, .within = 0, .always = {}});
  std::vector<std::vector<model::TokenLogit>> lists(tokens.size());
  const model::BestWork work = head.best(hidden, requests, lists, pool);
  batch.bytes += work.bytes;
  batch.exact += work.exact;
  for (std::size_t t = 0; t < tokens.size(); ++t) batch.agreed += lists[t].at(0).id == greedy[t];
}

int run(const char* path, const char* text_path, std::size_t positions) {
  ThreadPool pool(default_threads());
  std::shared_ptr<const checkpoint::Checkpoint> checkpoint =
      checkpoint::open_checkpoint(path, {}, true);
  const tokenizer::Tokenizer tokenizer = checkpoint::make_tokenizer(*checkpoint->tokenizer(), path);
  const MappedFile text(text_path);
  const std::string_view all(reinterpret_cast<const char*>(text.bytes().data()),
                             std::min(text.bytes().size(), 8 * positions));
  std::vector<std::uint32_t> tokens = tokenizer.encode(all, false);
  tokens.resize(std::min(tokens.size(), positions));
  const model::Model model(checkpoint, kernels::table_from_environment(), kWindow, pool);
  model::KvPool cache(model.config(), kWindow, kernels::KvType::kF16, kernels::KvType::kF16);
  model::Forward forward(model, pool, kWindow);
  model::Head head(model);
  std::vector<Kind> list = kinds();
  Kind batch{"greedy, 32 at a time", {}};
  for (std::size_t at = 0; at < tokens.size(); at += kWindow) {
    const std::size_t count = std::min(kWindow, tokens.size() - at);
    count_window(forward, head, cache, pool, std::span(tokens).subspan(at, count), list, batch);
  }
  list.push_back(batch);
  const auto n = static_cast<double>(tokens.size());
  const auto full = static_cast<double>(matrix_bytes(model.head()));
  std::printf("%zu positions, a head of %.1f MB\n\n", tokens.size(), full / 1e6);
  std::printf(
      "| request | read of the head | exact logits (mean, most) | agreement "
      "|\n|---|---|---|---|\n");
  for (const Kind& kind : list) {
    std::printf("| %s | %.1f %% | %.1f, %zu | %zu of %zu |\n", kind.name,
                100 * static_cast<double>(kind.bytes) / n / full,
                static_cast<double>(kind.exact) / n, kind.most_exact, kind.agreed, tokens.size());
  }
  return std::ranges::all_of(list, [&](const Kind& k) { return k.agreed == tokens.size(); }) ? 0
                                                                                             : 1;
}

}  // namespace
}  // namespace tern::engine

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: head_bench MODEL.gguf TEXT POSITIONS\n");
    return 2;
  }
  try {
    return tern::engine::run(argv[1], argv[2], static_cast<std::size_t>(std::atoi(argv[3])));
  } catch (const tern::Error& error) {
    std::fprintf(stderr, "head_bench: %s\n", error.what());
    return 1;
  }
}
