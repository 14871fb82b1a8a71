// Flags of `tern run`.
#include "tern/cli/run_options.h"

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/base/system.h"
#include "tern/grammar/json_schema.h"

namespace tern::cli {

void add_run_options(CLI::App& app, RunOptions& o) {
  add_model_options(app, o.model);
  add_lora_option(app, o.model);
  auto* prompt = app.add_option(
      "-p,--prompt", o.prompt,
      "the text to go on from; \"\" is BOS alone (without -p and -f: a conversation)");
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
  app.add_option("--system-prompt", o.system,
                 "a conversation: what stands before it for the model (-sys)");
  app.add_flag("--verbose", o.verbose, "a conversation: tokens and speed after each answer");
  app.add_flag("--no-history", o.no_history, "a conversation: neither read nor keep what is typed");
}

engine::AnswerLimits answer_limits(const RunOptions& o) {
  engine::AnswerLimits limits;
  if (o.predict >= 0) limits.max_tokens = static_cast<std::size_t>(o.predict);
  limits.stop = o.stop;
  limits.ignore_end = o.ignore_eos;
  return limits;
}

engine::SamplerParams sampler_params(const RunOptions& o) {
  engine::validate(o.sampler);
  engine::SamplerParams params = o.sampler;
  // CLI11 reads -1, llama.cpp's word for "any", as the largest number.
  params.seed = o.seed && *o.seed != UINT64_MAX ? *o.seed : random_seed();
  return params;
}

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

}  // namespace tern::cli
