// `tern tokenize`: ids and pieces of a text, and the way back.
#include <fmt/core.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <optional>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/cli/command.h"
#include "tern/cli/options.h"
#include "tern/tokenizer/tokenizer.h"

namespace tern::cli {
namespace {

void print_tokens(const tokenizer::Tokenizer& tokenizer, const std::vector<std::uint32_t>& ids,
                  bool json) {
  if (json) {
    Json pieces = Json::array();
    for (const std::uint32_t id : ids) pieces.push_back(tokenizer.piece(id, true));
    fmt::print("{}\n", dump_json({{"tokens", ids}, {"pieces", pieces}}));
    return;
  }
  for (const std::uint32_t id : ids) {
    fmt::print("{:>8}  {}\n", id, dump_json(tokenizer.piece(id, true)));
  }
}

}  // namespace

int run_tokenize(std::span<const std::string> args) {
  ModelOptions model;
  std::optional<std::string> prompt, file;
  std::vector<std::uint32_t> ids;
  bool json = false, bos = false, no_special = false;
  CLI::App app("Token ids and pieces of a text (-p, -f or standard input), or the text of ids.",
               "tern tokenize");
  add_model_options(app, model, false);
  auto* text = app.add_option("-p,--prompt", prompt, "the text");
  auto* from = app.add_option("-f,--file", file, "a file with the text")->excludes(text);
  app.add_option("--decode", ids, "ids to turn into text, as 1,2,3")
      ->delimiter(',')
      ->excludes(text)
      ->excludes(from);
  app.add_flag("--bos", bos, "put BOS in front, where the vocabulary has one");
  app.add_flag("--no-parse-special", no_special, "read <|special|> spellings as plain text");
  app.add_flag("--json", json, "print {\"tokens\":[...],\"pieces\":[...]}");
  parse(app, args);

  const tokenizer::Tokenizer tokenizer = checkpoint::make_tokenizer(
      checkpoint::open_tokenizer(model.path(), model.open_options()), model.path().string());
  if (app.get_option("--decode")->count() > 0) {
    const std::string decoded = tokenizer.decode(ids, true);
    if (json) {
      fmt::print("{}\n", dump_json({{"text", decoded}}));
    } else {
      std::fwrite(decoded.data(), 1, decoded.size(), stdout);
      fmt::print("\n");
    }
    return 0;
  }
  if (file) prompt = read_text_file(*file);
  if (!prompt) prompt = std::string(std::istreambuf_iterator<char>(std::cin), {});
  const auto tokens = bos ? tokenizer.encode_with_bos(*prompt, !no_special)
                          : tokenizer.encode(*prompt, !no_special);
  print_tokens(tokenizer, tokens, json);
  return 0;
}

}  // namespace tern::cli
