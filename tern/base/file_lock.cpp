// flock(2).
#include "tern/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "tern/base/error.h"

namespace tern {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* doing, int error) {
  throw Error(ErrorCode::kIo,
              path.string() + ": cannot " + doing + ": " + std::generic_category().message(error));
}

// The descriptor that holds the lock, or -1 where another process does.
int open_locked(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) fail(path, "write", errno);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno;
  ::close(fd);
  if (error != EWOULDBLOCK) fail(path, "lock", error);
  return -1;
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& path, const std::string& what)
    : fd_(open_locked(path)) {
  if (fd_ < 0) throw Error(ErrorCode::kIo, what + " is in use by another process");
}

std::unique_ptr<FileLock> FileLock::try_take(const std::filesystem::path& path) {
  const int fd = open_locked(path);
  return fd < 0 ? nullptr : std::unique_ptr<FileLock>(new FileLock(fd));
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace tern
