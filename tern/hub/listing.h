// What the Hub says of a repository and of a file: its list of files, and the headers that count.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tern::hub {

struct RepositoryFile {
  std::string path;                   // Satisfies is_safe_path().
  std::optional<std::uint64_t> size;  // Bytes, at most kLargestFile.
  std::string hash;  // SHA-256 of a file in LFS, git's blob SHA-1 of another; empty: not said.
};

inline constexpr std::uint64_t kLargestFile = std::uint64_t{1} << 43;  // 8 TiB: sums fit.

struct Listing {
  std::string commit;
  std::vector<RepositoryFile> files;  // Those whose names are plain enough to become paths here.

  const RepositoryFile* find(std::string_view path) const noexcept;
};

// Reads the answer to GET /api/models/USER/REPO/revision/REVISION?blobs=true. Throws
// Error(kCorruptFile) naming `what` where it is no such answer, or names a file that would be
// written outside its folder: a server that says so is not to be trusted with the rest.
Listing parse_listing(std::string_view json, std::string_view what);

// The files that a model.safetensors.index.json names. Throws Error(kCorruptFile) naming `what`.
std::vector<std::string> parse_shards(std::string_view json, std::string_view what);

// The content hash in an ETag or X-Linked-Etag ("...", W/"..."); empty where it holds none.
std::string hash_of_etag(std::string_view etag);

// A number of bytes as in Content-Length, at most kLargestFile; nothing where it is none.
std::optional<std::uint64_t> parse_byte_count(std::string_view text) noexcept;

// Content-Range: bytes FIRST-LAST/TOTAL, with FIRST <= LAST < TOTAL; TOTAL may be "*".
struct ContentRange {
  std::uint64_t first = 0, last = 0;
  std::optional<std::uint64_t> total;
};
std::optional<ContentRange> parse_content_range(std::string_view text) noexcept;

}  // namespace tern::hub
