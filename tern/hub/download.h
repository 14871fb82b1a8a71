// One file of a repository onto the disk: resumed where a part is there, checked before it counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "tern/base/error.h"
#include "tern/base/notice.h"
#include "tern/hub/http.h"
#include "tern/hub/retry.h"

namespace tern::hub {

struct Download {
  std::string what;  // For messages: "USER/REPO: model.gguf".
  std::string url;
  std::string commit;          // What X-Repo-Commit must be, where it is said.
  std::string hash;            // What the content must have; see ContentHash.
  std::uint64_t size = 0;      // Of the whole content, in bytes.
  std::filesystem::path part;  // Grows, and stays where the download fails.
  std::filesystem::path blob;  // Appears whole and checked.
};

// Bytes of this file that are there now.
using BytesDone = std::function<void(std::uint64_t bytes)>;

// What a status says to a user who asked for `what`; `sent_token` tells whether HF_TOKEN was sent.
Error status_error(const HttpResponse& response, const std::string& what, bool sent_token);

// Gets what is missing of `download` and turns its part into its blob. Tries again as `retry` has
// it, from where the last try ended; a part from an earlier run that turns out wrong is begun anew
// once. Throws Error(kIo) with the system's reason (the part stays), by status_error(), and
// Error(kCorruptFile) where the server's sizes, ranges or bytes contradict `download` (a part with
// wrong bytes is removed). The caller holds the blob's lock. Returns the bytes that came.
std::uint64_t fetch(HttpClient& client, const Download& download, const RetryOptions& retry,
                    const Notice& notice, const BytesDone& done);

}  // namespace tern::hub
