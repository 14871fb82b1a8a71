// How long a token mask takes: each step of a JSON text under a schema, for a model's vocabulary.
// Usage: mask_bench TOKENIZER (a tokenizer.json, a folder or a GGUF). Checks its answer first.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/checkpoint/checkpoint.h"
#include "tern/engine/constraint.h"
#include "tern/grammar/json_schema.h"

namespace {

using namespace tern;

struct Case {
  const char *name, *schema, *text;
};
constexpr Case kCases[] = {
    {"any JSON", "{}",
     R"({"name": "Alice was beginning to get very tired of sitting", "list": [1, 2.5, {"a": null}]})"},
    {"strings of at most 60",
     R"({"type":"object","properties":{"name":{"type":"string","maxLength":60},"note":
       {"type":"string","maxLength":60}},"required":["name","note"]})",
     R"({"name": "Alice was beginning to get very tired", "note": "in the pool of tears"})"},
    {"numbers", R"({"type":"array","items":{"type":"integer","minimum":-37,"maximum":1204}})",
     "[12, 1204, -37, 0, 999, 5]"},
};

void measure(const engine::TokenTrie& trie, const tokenizer::Tokenizer& tokenizer,
             const Case& one) {
  const auto grammar = grammar::json_schema_to_grammar(parse_ordered_json(one.schema, "schema"));
  const auto ids = tokenizer.encode(one.text, false);
  std::vector<float> logits(tokenizer.vocab_size());
  std::vector<double> first, again;
  for (int round = 0; round < 5; ++round) {
    engine::Constraint constraint(trie, grammar);
    for (const std::uint32_t id : ids) {
      const double start = monotonic_seconds();
      const bool right = constraint.allowed(id);
      const double made = monotonic_seconds();
      constraint.mask(logits);
      const double used = monotonic_seconds();
      if (!right) {
        std::printf("%s: token %u is refused: a speed without the right answer is no speed\n",
                    one.name, id);
        return;
      }
      first.push_back(made - start);
      again.push_back(used - made);
      constraint.accept(id);
    }
  }
  std::ranges::sort(first);
  std::ranges::sort(again);
  std::printf(
      "%-24s %3zu tokens: mask p50 %7.1f us, p90 %7.1f us, worst %7.1f us; "
      "logits of a known mask %5.1f us\n",
      one.name, ids.size(), 1e6 * first[first.size() / 2], 1e6 * first[first.size() * 9 / 10],
      1e6 * first.back(), 1e6 * again[again.size() / 2]);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fputs("usage: mask_bench TOKENIZER\n", stderr);
    return 2;
  }
  const auto tokenizer =
      checkpoint::make_tokenizer(checkpoint::open_tokenizer(argv[1], {}), argv[1]);
  const double start = monotonic_seconds();
  const engine::TokenTrie trie(tokenizer);
  std::printf("%zu pieces, a tree of %zu nodes in %.0f ms\n", trie.vocab_size(),
              trie.nodes().size(), 1e3 * (monotonic_seconds() - start));
  for (const Case& one : kCases) measure(trie, tokenizer, one);
  return 0;
} catch (const Error& e) {
  std::fprintf(stderr, "mask_bench: %s\n", e.what());
  return 1;
}
