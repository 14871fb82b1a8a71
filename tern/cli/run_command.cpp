// `tern run`: writes text as it is made.
#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/system.h"
#include "tern/cli/command.h"
#include "tern/cli/loaded_model.h"
#include "tern/engine/generator.h"
#include "tern/grammar/json_schema.h"
#include "tern/tokenizer/prompt_tokens.h"

namespace tern::cli {
namespace {

struct RunOptions {
  ModelOptions model;
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  long long predict = -1;
  std::optional<std::size_t> context;
  std::size_t batch = 512;
  std::optional<std::uint64_t> seed;
  std::string cache_k = "f16", cache_v = "f16";
  engine::SamplerParams sampler;
  std::vector<std::string> stop;
  std::optional<std::string> grammar, grammar_file, schema, schema_file;
  bool ignore_eos = false, echo = false, json = false;
};

void add_options(CLI::App& app, RunOptions& o) {
  add_model_options(app, o.model);
  auto* prompt =
      app.add_option("-p,--prompt", o.prompt, "the text to go on from; \"\" is BOS alone");
  app.add_option("-f,--file", o.file, "a file with the prompt")->excludes(prompt);
  app.add_option("-n,--n-predict,--predict", o.predict, "tokens to make; -1: until the text ends")
      ->check(CLI::Range(-1LL, 1LL << 40))
      ->capture_default_str();
  app.add_option("-c,--ctx-size", o.context,
                 "positions of context; 0: the model's own (default: that, at most 4096)")
      ->check(CLI::Range(0LL, 1LL << 32));
  app.add_option("-b,--batch-size", o.batch, "prompt tokens per forward pass")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("-s,--seed", o.seed, "seed of the draws; -1: a new one each time (default)");
  app.add_option("--cache-type-k", o.cache_k, "KV cache of keys: f32, f16, int8 or int4 (-ctk)")
      ->check(CLI::IsMember(kKvTypeNames))
      ->capture_default_str();
  app.add_option("--cache-type-v", o.cache_v, "KV cache of values, the same types (-ctv)")
      ->check(CLI::IsMember(kKvTypeNames))
      ->capture_default_str();
  engine::SamplerParams& s = o.sampler;
  app.add_option("--temp,--temperature", s.temperature, "0: always the best token")
      ->capture_default_str();
  app.add_option("--top-k", s.top_k, "0: off")->capture_default_str();
  app.add_option("--top-p", s.top_p, "1: off")->capture_default_str();
  app.add_option("--min-p", s.min_p, "0: off")->capture_default_str();
  app.add_option("--typical", s.typical_p, "1: off")->capture_default_str();
  app.add_option("--repeat-penalty", s.repeat_penalty, "1: off")->capture_default_str();
  app.add_option("--repeat-last-n", s.repeat_last_n, "tokens that the penalties look back on")
      ->capture_default_str();
  app.add_option("--presence-penalty", s.presence_penalty, "0: off")->capture_default_str();
  app.add_option("--frequency-penalty", s.frequency_penalty, "0: off")->capture_default_str();
  app.add_option("--stop,-r,--reverse-prompt", o.stop, "a string that ends the text; repeatable")
      ->allow_extra_args(false);
  CLI::Option_group* format = app.add_option_group("format");
  format->require_option(0, 1);
  format->add_option("--grammar", o.grammar, "the text follows this GBNF grammar");
  format->add_option("--grammar-file", o.grammar_file, "the same from a file");
  format->add_option("-j,--json-schema", o.schema,
                     "the text is JSON that this schema allows; {} is any JSON");
  format->add_option("--json-schema-file", o.schema_file, "the same from a file");
  app.add_flag("--ignore-eos", o.ignore_eos, "go on after an end token");
  app.add_flag("--echo", o.echo, "write the prompt before the text");
  app.add_flag("--json", o.json, "one JSON object instead of streamed text");
}

// What the text is held to; empty: nothing.
std::shared_ptr<const grammar::Grammar> read_grammar(const RunOptions& o) {
  if (o.grammar) return grammar::make_grammar(*o.grammar);
  if (o.schema) {
    return grammar::json_schema_to_grammar(parse_ordered_json(*o.schema, "JSON schema"));
  }
  const std::optional<std::string>& file = o.grammar_file ? o.grammar_file : o.schema_file;
  if (!file) return nullptr;
  const std::string text = read_text_file(*file);
  try {
    if (o.grammar_file) return grammar::make_grammar(text);
    return grammar::json_schema_to_grammar(parse_ordered_json(text, "JSON schema"));
  } catch (const Error& e) {
    throw with_context(*file, e);
  }
}

double per_second(std::size_t count, double seconds) {
  return count > 0 && seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

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

void print_summary(const LoadedModel& loaded, const engine::GenerateResult& r) {
  say(
      fmt::format("loaded in {:.2f} s; prompt {} tokens at {:.1f} tokens/s; wrote {} tokens at "
                  "{:.1f} tokens/s; {}",
                  loaded.seconds, r.prompt_tokens, per_second(r.prompt_tokens, r.prompt_seconds),
                  r.tokens.size(), per_second(r.decode_steps, r.generate_seconds),
                  r.reason == engine::StopReason::kEndToken      ? "the text is at its end"
                  : r.reason == engine::StopReason::kStopString  ? "a stop string came up"
                  : r.reason == engine::StopReason::kLength      ? "the length asked for is reached"
                  : r.reason == engine::StopReason::kContextFull ? "the context is full (-c)"
                                                                 : "interrupted"));
}

}  // namespace

int run_run(std::span<const std::string> args) {
  RunOptions o;
  CLI::App app("Writes text with a model.", "tern run");
  add_options(app, o);
  parse(app, args);
  if (o.file) o.prompt = read_text_file(*o.file);
  if (!o.prompt) {
    say("no prompt was given, expected -p TEXT (a conversation without -p is not there yet)");
    return 2;
  }
  engine::validate(o.sampler);
  // CLI11 reads -1, llama.cpp's word for "any", as the largest number.
  o.sampler.seed = o.seed && *o.seed != UINT64_MAX ? *o.seed : random_seed();

  const std::shared_ptr<const grammar::Grammar> grammar = read_grammar(o);

  const InterruptGuard interrupt;
  LoadedModel loaded = open_model(o.model);
  const tokenizer::Tokenizer& tokenizer = loaded.need_tokenizer();
  const std::vector<std::uint32_t> prompt = tokenizer::prompt_tokens(tokenizer, *o.prompt);
  loaded.load_weights(context_size(loaded, o.context));
  model::KvPool cache(loaded.model->config(), loaded.model->context(), kv_type(o.cache_k),
                      kv_type(o.cache_v));
  model::Session session(cache);
  model::Forward forward(*loaded.model, *loaded.pool, std::min(o.batch, loaded.model->context()));
  engine::Generator generator(tokenizer, forward, session, *loaded.pool);

  engine::GenerateRequest request;
  request.prompt = prompt;
  if (o.predict >= 0) request.limits.max_tokens = static_cast<std::size_t>(o.predict);
  request.sampler = o.sampler;
  request.limits.stop = o.stop;
  request.limits.ignore_end = o.ignore_eos;
  request.limits.at_text_start = o.prompt->empty();
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
    if (o.echo) fmt::print("{}", *o.prompt);
    std::fflush(stdout);
    request.on_text = [](std::string_view piece) {
      std::fwrite(piece.data(), 1, piece.size(), stdout);
      std::fflush(stdout);
    };
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
    print_summary(loaded, result);
  }
  return 0;
}

}  // namespace tern::cli
