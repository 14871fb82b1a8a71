// write() at the end, and ftruncate() back to the last whole piece where it fails.
#include "tern/base/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "tern/base/error.h"

namespace tern {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* doing, int error) {
  throw Error(ErrorCode::kIo,
              path.string() + ": cannot " + doing + ": " + std::generic_category().message(error));
}

}  // namespace

AppendFile::AppendFile(std::filesystem::path path) : path_(std::move(path)) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(path_, "write", errno);
  struct stat info{};
  if (::fstat(fd_, &info) != 0) {
    const int error = errno;
    ::close(std::exchange(fd_, -1));
    fail(path_, "write", error);
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

AppendFile::AppendFile(std::filesystem::path path, std::uint64_t keep)
    : AppendFile(std::move(path)) {
  // The delegated constructor is done, so the destructor closes the file if this throws.
  if (keep > size_) {
    throw Error(ErrorCode::kIo, path_.string() + ": " + std::to_string(size_) +
                                    " bytes found, expected at least " + std::to_string(keep));
  }
  if (keep == size_) return;
  if (::ftruncate(fd_, static_cast<off_t>(keep)) != 0) fail(path_, "shorten", errno);
  size_ = keep;
}

AppendFile::~AppendFile() {
  if (fd_ >= 0) ::close(fd_);
}

void AppendFile::append(std::string_view bytes) {
  std::string_view left = bytes;
  while (!left.empty()) {
    const ssize_t n = ::write(fd_, left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = n < 0 ? errno : ENOSPC;
      // Best effort: what cannot be shortened (a pipe, a device) has no end to keep whole.
      if (left.size() != bytes.size() && ::ftruncate(fd_, static_cast<off_t>(size_)) != 0) {
        fail(path_, "write, nor take back half a line", error);
      }
      fail(path_, "write", error);
    }
    left.remove_prefix(static_cast<std::size_t>(n));
  }
  size_ += bytes.size();
}

void AppendFile::sync() {
  // EINVAL: something that has nothing to sync, a pipe or a terminal.
  if (::fsync(fd_) != 0 && errno != EINVAL) fail(path_, "write", errno);
}

}  // namespace tern
