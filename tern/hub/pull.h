// A model of the Hub into the cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tern/base/notice.h"
#include "tern/hub/http.h"
#include "tern/hub/model_name.h"
#include "tern/hub/retry.h"

namespace tern::hub {

struct PullOptions {
  std::filesystem::path cache;
  HttpOptions http;
  RetryOptions retry;
  Notice notice;  // What is tried again, and what is waited for.
  // Of the files being downloaded, `done` of `total` bytes are there; called for every few
  // kilobytes.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

struct Pulled {
  std::filesystem::path path;  // What open_checkpoint() takes: a .gguf file or a folder.
  std::string commit;
  std::vector<std::string> files;  // Of the model, as paths in the repository.
  std::uint64_t bytes = 0;         // Of these.
  std::uint64_t downloaded = 0;    // That came over the network now.
};

// Asks the Hub which files the model has (choose_model()), downloads those that are not in the
// cache yet, and then lets the revision's reference name their commit. A file appears in the
// snapshot only when it is whole and has the size and hash that the Hub's list says; where two
// processes want one file, the second waits. Throws Error: see download.h; kLimit where the disk
// has not enough space.
Pulled pull(const ModelName& name, const PullOptions& options);

}  // namespace tern::hub
