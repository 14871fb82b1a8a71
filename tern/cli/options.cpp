// Shared flags.
#include "tern/cli/options.h"

#include <fmt/core.h>

#include "tern/base/error.h"
#include "tern/base/thread_pool.h"
#include "tern/checkpoint/tokenizer_gguf.h"

namespace tern::cli {

std::size_t ModelOptions::thread_count() const {
  return threads == 0 ? default_threads() : threads;
}

std::filesystem::path ModelOptions::path() const {
  if (model.empty()) {
    throw Error(ErrorCode::kBadArgument,
                "no model was given, expected a .gguf file or a Hugging Face folder (-m MODEL)");
  }
  return model;
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
  app.add_option("MODEL,-m,--model", options.model, "a .gguf file or a Hugging Face folder")
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
  throw Error(ErrorCode::kBadArgument,
              fmt::format("KV cache type '{}' found, expected f32 or f16", name));
}

}  // namespace tern::cli
