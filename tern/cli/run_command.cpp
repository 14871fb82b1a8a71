// `tern run`: writes text as it is made.
#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/system.h"
#include "tern/cli/answer_output.h"
#include "tern/cli/chat.h"
#include "tern/cli/command.h"
#include "tern/cli/loaded_model.h"
#include "tern/cli/run_options.h"
#include "tern/engine/generator.h"
#include "tern/tokenizer/prompt_tokens.h"

namespace tern::cli {
namespace {

void print_json(const engine::GenerateResult& r) {
  const Json json{{"text", r.text},
                  {"tokens", r.tokens},
                  {"prompt_tokens", r.prompt_tokens},
                  {"generated_tokens", r.tokens.size()},
                  {"stop_reason", engine::stop_reason_name(r.reason)},
                  {"prompt_tps", per_second(r.prompt_tokens, r.prompt_seconds)},
                  {"generate_tps", per_second(r.decode_steps, r.generate_seconds)}};
  fmt::print("{}\n", dump_json(json));
}

// Goes on from the text of -p or -f.
int run_text(const RunOptions& o, const std::string& text) {
  const engine::SamplerParams sampler = sampler_params(o);
  const std::shared_ptr<const grammar::Grammar> grammar = read_grammar(o);

  const InterruptGuard interrupt;
  LoadedModel loaded = open_model(o.model);
  const tokenizer::Tokenizer& tokenizer = loaded.need_tokenizer();
  const std::vector<std::uint32_t> prompt = tokenizer::prompt_tokens(tokenizer, text);
  loaded.load_weights(context_size(loaded, o.context));
  model::KvPool cache(loaded.model->config(), loaded.model->context(), kv_type(o.cache_k),
                      kv_type(o.cache_v));
  model::Session session(cache);
  model::Forward forward(*loaded.model, *loaded.pool, std::min(o.batch, loaded.model->context()));
  engine::Generator generator(tokenizer, forward, session, *loaded.pool);

  engine::GenerateRequest request;
  request.prompt = prompt;
  request.limits = answer_limits(o);
  request.limits.at_text_start = text.empty();
  request.sampler = sampler;
  std::optional<engine::TokenTrie> trie;
  std::optional<engine::Constraint> constraint;
  if (grammar) {
    trie.emplace(tokenizer);
    constraint.emplace(*trie, grammar,
                       request.limits.at_text_start && tokenizer.data().add_space_prefix);
    request.constraint = &*constraint;
  }
  request.keep_going = [] { return !InterruptGuard::pressed(); };
  request.progress = stderr_progress();
  if (!o.json) {
    if (o.echo) write_answer(text);
    request.on_text = write_answer;
  }
  const engine::GenerateResult result = [&] {
    try {
      return generator.generate(request);
    } catch (const Error& e) {
      throw with_context(loaded.checkpoint->name(), e);
    }
  }();
  if (o.json) {
    print_json(result);
  } else {
    fmt::print("\n");
    say(fmt::format("loaded in {:.2f} s; {}", loaded.seconds, answer_summary(result)));
  }
  return 0;
}

}  // namespace

int run_run(std::span<const std::string> args) {
  RunOptions o;
  CLI::App app("Writes text with a model: on from a text (-p, -f), or answers in a conversation.",
               "tern run");
  add_run_options(app, o);
  parse(app, args);
  if (o.file) o.prompt = read_text_file(*o.file);
  if (!o.prompt) return run_chat(o);
  if (!o.system.empty()) {
    throw Error(ErrorCode::kBadArgument,
                "--system-prompt was given with a text to go on from, expected it for a "
                "conversation alone (without -p and -f)");
  }
  return run_text(o, *o.prompt);
}

}  // namespace tern::cli
