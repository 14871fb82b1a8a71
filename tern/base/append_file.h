// A log that grows line by line and never shows half a line of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace tern {

// Appends to `path`, which is created where it does not exist. Each append() is one write at the
// end; one that fails halfway (a full disk) is taken back before the error is thrown, so that the
// file goes on ending with a whole piece. Throws Error(kIo) with the system's reason. One writer.
class AppendFile {
 public:
  explicit AppendFile(std::filesystem::path path);
  // The same, but first cuts the file down to `keep` bytes. Throws where it has fewer.
  AppendFile(std::filesystem::path path, std::uint64_t keep);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }
  void append(std::string_view bytes);
  void sync();  // Returns when what was appended survives a power cut.

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace tern
