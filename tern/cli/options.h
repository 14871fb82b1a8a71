// Flags that several commands share, spelt as llama.cpp spells them where it has the thing.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tern/checkpoint/checkpoint.h"
#include "tern/cli/console.h"
#include "tern/kernels/attention.h"
#include "tern/tensor/dtype.h"

namespace tern::cli {

// Which model, and how its file is read.
struct ModelOptions {
  std::string model;  // By position or -m; empty: "en".
  std::string i2s = "x86";
  std::string pre;
  std::size_t threads = 0;  // 0: default_threads().
  std::string lora;         // A folder with an adapter; empty: none.

  std::size_t thread_count() const;
  // The file or folder that `model` means: one that exists; else, for "en" and "ja", the model of
  // that name that ships with tern, in share/tern/models beside the executable's folder; else, for
  // a name of the Hugging Face Hub (USER/REPO[:FILE]), what the cache has of it, which is never
  // downloaded here. Throws Error(kIo) where that is not there.
  std::filesystem::path path() const;
  checkpoint::OpenOptions open_options() const;  // Notices go to stderr, as "tern: ...".
};
// Adds MODEL, -m/--model, --i2s, --pre (and -t/--threads unless `with_threads` is false).
void add_model_options(CLI::App& app, ModelOptions& options, bool with_threads = true);

// Adds --lora, for the commands that compute with the model.
void add_lora_option(CLI::App& app, ModelOptions& options);

// --type and its kin. Throws Error(kBadArgument) for a name that is no storage type.
DType storage_type(const std::string& name);

// What -ctk and -ctv take; q8_0 and q4_0 are llama.cpp's names for int8 and int4.
inline const std::vector<std::string> kKvTypeNames = {"f32", "f16", "int8", "q8_0", "int4", "q4_0"};
// Throws Error(kBadArgument) for another name.
kernels::KvType kv_type(const std::string& name);

}  // namespace tern::cli
