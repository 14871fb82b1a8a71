// Temporary name, fsync, rename.
#include "tern/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const char* doing) {
  const std::string reason = std::generic_category().message(errno);
  throw Error(ErrorCode::kIo, path.string() + ": cannot " + doing + ": " + reason);
}

// A name in the same folder (a rename across file systems is a copy), unlike any other process's.
std::filesystem::path temporary_beside(std::filesystem::path path) {
  if (!path.has_filename()) path = path.parent_path();  // "out/" means "out".
  if (path.empty()) throw Error(ErrorCode::kBadArgument, "an empty output name was given");
  return path.parent_path() /
         ("." + path.filename().string() + ".tmp-" + std::to_string(random_seed() & 0xffffffff));
}

// Makes the rename itself survive a power cut. Not every file system can; that is no failure.
void sync_folder(const std::filesystem::path& file) {
  const std::filesystem::path folder =
      file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path)
    : path_(std::move(path)), temporary_(temporary_beside(path_)) {
  if (std::filesystem::is_directory(path_)) {
    throw Error(ErrorCode::kIo, path_.string() + ": is a folder, expected a file name to write");
  }
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(path_, "write");
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(path_, "write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    size_ += static_cast<std::uint64_t>(n);
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) fail(path_, "write");
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int saved = errno;
    ::unlink(temporary_.c_str());
    errno = saved;
    fail(path_, "write");
  }
  sync_folder(path_);
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

AtomicFolder::AtomicFolder(std::filesystem::path path)
    : path_(path.has_filename() ? std::move(path) : path.parent_path()),
      temporary_(temporary_beside(path_)) {
  std::error_code ignored;
  if (std::filesystem::exists(path_, ignored) && !std::filesystem::is_empty(path_, ignored)) {
    throw Error(ErrorCode::kIo,
                path_.string() + ": exists already, expected a new name or an empty folder");
  }
  if (::mkdir(temporary_.c_str(), 0755) != 0) fail(path_, "create");
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  // rename(2) replaces an empty folder.
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(path_, "create");
  committed_ = true;
  sync_folder(path_);
}

std::string read_text_file(const std::filesystem::path& path, std::uint64_t limit) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) {
    throw Error(ErrorCode::kIo, path.string() + ": cannot open: " + error.message());
  }
  if (size > limit) {
    throw Error(ErrorCode::kLimit, path.string() + ": " + std::to_string(size) +
                                       " bytes found, expected at most " + std::to_string(limit));
  }
  std::string text(static_cast<std::size_t>(size), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), static_cast<std::streamsize>(size));
  if (!file || static_cast<std::uint64_t>(file.gcount()) != size) {
    throw Error(ErrorCode::kIo, path.string() + ": cannot read the whole file");
  }
  return text;
}

}  // namespace tern
