// `tern tokenizer train FILES --size N --out DIR`: a vocabulary from text.
#include <fmt/core.h>

#include <string>

#include "tern/cli/console.h"
#include "tern/cli_train/command.h"
#include "tern/corpus/train_tokenizer.h"

namespace tern::cli {

int run_tokenizer_train(std::span<const std::string> args) {
  CLI::App app("Makes a vocabulary from text: SentencePiece BPE with byte fallback",
               "tern tokenizer train");
  corpus::TokenizerTraining options;
  std::string out;
  app.add_option("FILES", options.sources.paths, "text files, JSONL files or folders of them")
      ->required();
  app.add_option("--size", options.size, "pieces, bytes and special ones among them")
      ->capture_default_str();
  app.add_option("--out,-o", out, "folder to make")->required();
  app.add_option("--separator", options.sources.separators,
                 "line that stands between documents; may be given again")
      ->allow_extra_args(false);
  app.add_option("--field", options.sources.json_field, "of each line of a .jsonl")
      ->capture_default_str();
  app.add_option("--coverage", options.character_coverage,
                 "share of all characters that get a piece; the others are written as bytes")
      ->capture_default_str()
      ->check(CLI::Range(0.98, 1.0));
  parse(app, args);
  corpus::train_tokenizer(options, out, stderr_notice());
  fmt::print("{}\n", out);
  return 0;
}

}  // namespace tern::cli
