// Shared flags.
#include "tern/cli/options.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>

#include "tern/base/error.h"
#include "tern/base/system.h"
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

namespace {

std::string environment_name(std::string flag) {
  std::ranges::transform(flag, flag.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return "TERN_" + flag;
}

// "-n=5", which CLI11 would read as the value "=5".
bool is_short_with_equals(std::string_view word) {
  return word.size() > 2 && word[0] == '-' && std::isalpha(static_cast<unsigned char>(word[1])) &&
         word[2] == '=';
}

// CLI11 knows single-letter short flags only.
constexpr std::array<std::array<std::string_view, 2>, 3> kSingleDashWords{{
    {"-ctk", "--cache-type-k"},
    {"-ctv", "--cache-type-v"},
    {"-npl", "--n-parallel"},
}};

}  // namespace

void parse(CLI::App& app, std::span<const std::string> args) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty() || option->get_lnames()[0] == "help") continue;
    option->envname(environment_name(option->get_lnames()[0]));
  }
  std::vector<std::string> words;
  for (const std::string& word : args) {
    std::string known = word;
    for (const auto& [from, to] : kSingleDashWords) {
      if (word == from) known = to;
      if (word.starts_with(from) && word.size() > from.size() && word[from.size()] == '=') {
        known = std::string(to) + word.substr(from.size());
      }
    }
    if (is_short_with_equals(known)) {
      words.push_back(known.substr(0, 2));
      known.erase(0, 3);
    }
    words.push_back(std::move(known));
  }
  std::ranges::reverse(words);  // As CLI11 wants them.
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    throw;
  }
}

void say(std::string_view sentence) {
  std::fflush(stdout);
  fmt::print(stderr, "tern: {}\n", sentence);
}

Notice stderr_notice() {
  return [](std::string_view sentence) { say(sentence); };
}

Progress stderr_progress() {
  if (!stderr_is_terminal()) return {};
  return [](std::string_view step, double done) {
    constexpr int kWidth = 24;
    const int filled = static_cast<int>(done * kWidth);
    const std::string bar(static_cast<std::size_t>(std::clamp(filled, 0, kWidth)), '#');
    fmt::print(stderr, "\r{:<20} [{:<24}] {:3.0f}%", step, bar, done * 100);
    if (done >= 1) fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  };
}

}  // namespace tern::cli
