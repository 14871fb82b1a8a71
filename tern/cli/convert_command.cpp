// `tern convert`: any readable model to GGUF or a Hugging Face folder.
#include <fmt/core.h>

#include <optional>

#include "tern/cli/command.h"
#include "tern/cli/loaded_model.h"
#include "tern/convert/convert.h"
#include "tern/convert/merge_adapter.h"

namespace tern::cli {
namespace {

std::optional<DType> type_of(const std::string& name) {
  if (name.empty()) return std::nullopt;
  return storage_type(name);
}

}  // namespace

int run_convert(std::span<const std::string> args) {
  CLI::App app("Converts any readable model to GGUF or a Hugging Face folder.", "tern convert");
  ModelOptions model;
  std::string out, type, embedding_type, linear_class;
  convert::ConvertOptions options;
  add_model_options(app, model);
  add_lora_option(app, model);
  app.add_option("OUT,-o,--output", out,
                 "a name that ends in .gguf, or a folder that does not exist")
      ->required();
  app.add_option("--type", type,
                 "body of a GGUF: TQ2_0 (default), TQ1_0, I2_S, IQ2_BN, Q2_0, F16, BF16, F32; "
                 "full-precision models: F16, BF16, F32, Q8_0 (default: as they are)");
  app.add_option("--embedding-type", embedding_type,
                 "embedding and head of a GGUF: F16, BF16, F32, Q8_0, Q6_K (default: F16 where "
                 "that is exact, else as they are)");
  app.add_option("--name", options.name, "of a GGUF: what it is called (default: as MODEL is)");
  app.add_option("--linear-class", linear_class,
                 "of a folder: autobitlinear (scales multiply) or bitlinear (they divide); "
                 "default: the architecture's usual one")
      ->check(CLI::IsMember({"autobitlinear", "bitlinear"}));
  parse(app, args);

  options.type = type_of(type);
  options.embedding_type = type_of(embedding_type);
  if (!linear_class.empty()) {
    options.linear_class = linear_class == "bitlinear" ? convert::LinearClass::kBitLinear
                                                       : convert::LinearClass::kAutoBitLinear;
  }
  ThreadPool pool(model.thread_count());
  const auto checkpoint = checkpoint::open_checkpoint(model.path(), model.open_options());
  const auto adapter = open_adapter(model, *checkpoint);
  std::unique_ptr<const checkpoint::Checkpoint> merged;
  if (adapter) {
    merged = convert::merge_adapter(*checkpoint, *adapter, options.type, pool, stderr_notice());
  }
  convert::convert(merged ? *merged : *checkpoint, out, options, pool, stderr_notice(),
                   stderr_progress());
  say(fmt::format("{} written", out));
  return 0;
}

}  // namespace tern::cli
