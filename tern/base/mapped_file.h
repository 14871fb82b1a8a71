// A whole file, read-only, mapped into memory for as long as the object lives.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>

namespace tern {

class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);  // Throws Error(kIo).
  ~MappedFile();

  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  // Valid until this object dies; tensors are views into it, never copies.
  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// Tells the system that the pages wholly inside `bytes` will not be read again soon, so that a
// repacked matrix and its file pages do not both stay in memory. Reading them again is right, only
// slower. Harmless on memory that is not a mapped file's: callers pass only views into one.
void drop_pages(std::span<const std::byte> bytes) noexcept;

}  // namespace tern
