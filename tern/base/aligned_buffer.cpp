// Anonymous mappings for large buffers (lazy zero pages, huge where possible), the heap for small.
#include "tern/base/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tern/base/error.h"

namespace tern {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kHuge = std::size_t{2} << 20;

std::size_t round_up(std::size_t size, std::size_t unit) { return (size + unit - 1) / unit * unit; }

[[noreturn]] void out_of_memory(std::size_t size) {
  throw Error(ErrorCode::kLimit, "out of memory: a buffer of " + std::to_string(size) +
                                     " bytes was asked for and the system has none");
}

}  // namespace

AlignedBuffer::AlignedBuffer(std::size_t size) : size_(size) {
  if (size == 0) return;
  if (size > PTRDIFF_MAX - kHuge) out_of_memory(size);
  if (size < kHuge) {
    data_ = static_cast<std::byte*>(std::aligned_alloc(kLine, round_up(size, kLine)));
    if (data_ == nullptr) out_of_memory(size);
    std::memset(data_, 0, size);
    return;
  }
  void* p = ::mmap(nullptr, round_up(size, kHuge), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) out_of_memory(size);
#ifdef MADV_HUGEPAGE
  ::madvise(p, round_up(size, kHuge), MADV_HUGEPAGE);
#endif
  data_ = static_cast<std::byte*>(p);
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ == nullptr) return;
  if (size_ < kHuge) {
    std::free(data_);
  } else {
    ::munmap(data_, round_up(size_, kHuge));
  }
}

}  // namespace tern
