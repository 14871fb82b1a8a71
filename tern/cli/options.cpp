// Shared flags.
#include "tern/cli/options.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/base/thread_pool.h"
#include "tern/checkpoint/tokenizer_gguf.h"
#include "tern/hub/cache.h"
#include "tern/hub/model_name.h"

namespace tern::cli {

std::size_t ModelOptions::thread_count() const {
  return threads == 0 ? default_threads() : threads;
}

namespace {

constexpr std::array<std::string_view, 2> kShippedModels{"en", "ja"};  // The first is the default.

std::filesystem::path shipped_model(const std::string& name, bool asked_for) {
  const auto prefix = std::filesystem::path(executable_folder()).parent_path();
  std::filesystem::path path = prefix / "share" / "tern" / "models" / (name + ".gguf");
  std::error_code error;
  if (std::filesystem::exists(path, error)) return path;
  throw Error(
      ErrorCode::kIo,
      asked_for
          ? fmt::format("model '{}' found neither here nor among those that ship with tern ({}); "
                        "expected a .gguf file or a Hugging Face folder",
                        name, path.string())
          : fmt::format("no model was given, and the one that ships with tern is missing ({}); "
                        "expected a .gguf file or a Hugging Face folder (-m MODEL)",
                        path.string()));
}

// "models/x.gguf" is a name that the Hub allows, but hardly what is meant.
std::filesystem::path hub_model(const hub::ModelName& name, const std::string& text) {
  if (!text.ends_with(".gguf") || !name.file.empty()) {
    return hub::find_cached(hub::cache_folder(), name);
  }
  const hub::CachedRepository repository(hub::cache_folder(), name);
  return repository.commit_of(name.revision) ? hub::find_cached(hub::cache_folder(), name)
                                             : std::filesystem::path(text);
}

}  // namespace

std::filesystem::path ModelOptions::path() const {
  if (model.empty()) return shipped_model(std::string(kShippedModels[0]), false);
  std::error_code error;
  if (std::filesystem::exists(model, error)) return model;
  if (std::ranges::find(kShippedModels, model) != kShippedModels.end()) {
    return shipped_model(model, true);
  }
  const auto name = hub::parse_model_name(model);
  return name ? hub_model(*name, model) : std::filesystem::path(model);
}

checkpoint::OpenOptions ModelOptions::open_options() const {
  checkpoint::OpenOptions options;
  if (i2s == "arm") options.i2s = formats::I2SLayout::kArm;
  if (i2s == "1x4") options.i2s = formats::I2SLayout::k1x4;
  if (!pre.empty()) {
    options.pre = checkpoint::pre_tokenizer_by_name(pre);
    if (!options.pre) {
      throw Error(
          ErrorCode::kBadArgument,
          fmt::format("--pre {} found, expected llama-bpe, gpt-2, qwen2, falcon, falcon3 or "
                      "default",
                      pre));
    }
  }
  options.notice = stderr_notice();
  return options;
}

void add_model_options(CLI::App& app, ModelOptions& options, bool with_threads) {
  app.add_option("MODEL,-m,--model,--hf-repo", options.model,
                 "a .gguf file, a Hugging Face folder, a name of the Hub (USER/REPO[:FILE]) that "
                 "was pulled, or en or ja, which ship with tern (default: en)")
      ->type_name("MODEL");
  app.add_option("--i2s", options.i2s, "how I2_S tensors are laid out, which no file tells")
      ->check(CLI::IsMember({"x86", "arm", "1x4"}))
      ->capture_default_str();
  app.add_option("--pre", options.pre,
                 "pre-tokenizer of a GGUF instead of the one it names (llama-bpe, default, ...)");
  if (with_threads) {
    app.add_option("-t,--threads", options.threads, "threads (default: the CPUs of this process)")
        ->check(CLI::Range(1, 1024));
  }
}

void add_lora_option(CLI::App& app, ModelOptions& options) {
  app.add_option("--lora", options.lora,
                 "a folder with an adapter of this model (adapter_config.json, "
                 "adapter_model.safetensors), which is added to it")
      ->type_name("DIR");
}

DType storage_type(const std::string& name) {
  if (CLI::detail::to_lower(name) == "q2_0")
    return DType::kQ2_0G64;  // llama.cpp's; the other: "Q2_0(128)".
  const auto type = dtype_by_name(name);
  if (!type) {
    throw Error(ErrorCode::kBadArgument,
                fmt::format("type '{}' found, expected a name such as TQ2_0, I2_S or F16", name));
  }
  return *type;
}

kernels::KvType kv_type(const std::string& name) {
  if (name == "f32") return kernels::KvType::kF32;
  if (name == "f16") return kernels::KvType::kF16;
  if (name == "int8" || name == "q8_0") return kernels::KvType::kInt8;
  if (name == "int4" || name == "q4_0") return kernels::KvType::kInt4;
  throw Error(ErrorCode::kBadArgument,
              fmt::format("KV cache type '{}' found, expected f32, f16, int8 or int4", name));
}

}  // namespace tern::cli
