// One process at a time.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace tern {

// Holds a lock on `path`, a file that is made where there is none and stays. The system frees it
// when the process ends, however it ends. Throws Error(kIo) where another process holds it, with
// `what` as the thing that is taken ("runs/first").
class FileLock {
 public:
  FileLock(const std::filesystem::path& path, const std::string& what);
  // The same, but nullptr where another process holds it.
  static std::unique_ptr<FileLock> try_take(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) noexcept : fd_(fd) {}

  int fd_ = -1;
};

}  // namespace tern
