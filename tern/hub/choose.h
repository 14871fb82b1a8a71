// Which of a repository's files are the model that a name means.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/hub/model_name.h"

namespace tern::hub {

// One GGUF file, or where `gguf` is empty the Hugging Face checkpoint.
struct Choice {
  std::string gguf;
};

// The model among `files` (paths of a repository, or of what is cached of it) that name.file means:
//   ""              the only model there is;
//   "safetensors"   the checkpoint: config.json and *.safetensors;
//   "x.gguf"        that file;
//   "Q2_0"          the one GGUF whose name holds it, in either case, as a part between any of
//                   "-._/".
// Throws Error(kBadArgument) that lists the choices where there is more or less than one, and
// Error(kUnsupported) where tern reads none of the files. `where` begins the sentence.
Choice choose_model(std::span<const std::string> files, const ModelName& name,
                    std::string_view where);

// The models among `files` by what ModelName::file calls them.
std::vector<std::string> models_in(std::span<const std::string> files);

// The files of a checkpoint that tern reads, of those there are: configuration, tokenizer, chat
// template, and the index of the weights where they lie in several files. Never pickles.
std::vector<std::string> checkpoint_files(std::span<const std::string> files);

// model.safetensors, or the only *.safetensors; empty where the index says which they are. Throws
// Error(kBadArgument) where there are several and no index.
std::string single_weights(std::span<const std::string> files, std::string_view where);

inline constexpr std::string_view kWeightIndex = "model.safetensors.index.json";

}  // namespace tern::hub
