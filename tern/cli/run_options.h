// The flags of `tern run`, for a text and for a conversation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tern/cli/options.h"
#include "tern/engine/answer.h"
#include "tern/engine/sampler.h"
#include "tern/grammar/grammar.h"

namespace tern::cli {

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
  std::string system;  // Of a conversation, as these.
  bool verbose = false, no_history = false;
};

void add_run_options(CLI::App& app, RunOptions& options);

// -n, --stop and --ignore-eos.
engine::AnswerLimits answer_limits(const RunOptions& options);
// The sampler with a seed of the system's, where none was given. Throws Error(kBadArgument) for
// values out of range.
engine::SamplerParams sampler_params(const RunOptions& options);
// What a text or an answer is held to; empty: nothing. Throws what the grammar's compiler throws.
std::shared_ptr<const grammar::Grammar> read_grammar(const RunOptions& options);

}  // namespace tern::cli
