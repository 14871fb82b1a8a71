// Zeroed memory on a cache-line boundary, for what vector kernels read and write.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

namespace tern {

// Which pages a buffer lies in.
enum class Pages {
  kOwn,
  // Huge pages that it shares with the other buffers of this kind, one behind the other: for the
  // many matrices of a model, which are smaller than such a page but are read as one. What is freed
  // goes back to the system when all its neighbours in 32 MiB are gone too.
  kShared,
};

// Owns `size` zero bytes at an address that is a multiple of 64; buffers of 2 MiB and more ask the
// system for huge pages. Movable, not copyable. Throws Error(kLimit) when memory runs out. May be
// made and destroyed by any thread.
class AlignedBuffer {
 public:
  AlignedBuffer() noexcept = default;
  explicit AlignedBuffer(std::size_t size, Pages pages = Pages::kOwn);
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    swap(other);
    return *this;
  }

  std::size_t size() const noexcept { return size_; }
  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }

  // The whole buffer as a span of T (a trivial type).
  template <typename T>
  std::span<T> as() noexcept {
    return {reinterpret_cast<T*>(data_), size_ / sizeof(T)};
  }
  template <typename T>
  std::span<const T> as() const noexcept {
    return {reinterpret_cast<const T*>(data_), size_ / sizeof(T)};
  }

 private:
  struct Region;
  class Regions;

  void swap(AlignedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(region_, other.region_);
  }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Region* region_ = nullptr;  // Of shared pages.
};

}  // namespace tern
