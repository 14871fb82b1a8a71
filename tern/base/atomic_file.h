// A file that appears whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace tern {

// Writes to a temporary name beside `path`; commit() syncs it and renames it over `path`. Destroyed
// without commit(), it removes the temporary file and leaves `path` as it was. Throws Error(kIo).
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  std::uint64_t size() const noexcept { return size_; }  // Bytes written so far.
  void commit();

 private:
  void flush();

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

// A whole file at once, in the same way.
void write_file(const std::filesystem::path& path, std::string_view text);

// A folder that appears whole or not at all, in the same way. `path` must not exist, or be an empty
// folder. Files are written under temporary(); commit() renames it to `path`.
class AtomicFolder {
 public:
  explicit AtomicFolder(std::filesystem::path path);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& temporary() const noexcept { return temporary_; }
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  bool committed_ = false;
};

// The bytes of a small text file. Throws Error(kIo) when it cannot be read or exceeds `limit`.
std::string read_text_file(const std::filesystem::path& path, std::uint64_t limit = 1u << 28);

}  // namespace tern
