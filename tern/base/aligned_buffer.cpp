// Anonymous mappings for large buffers (lazy zero pages, huge where possible), the heap for small.
#include "tern/base/aligned_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
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

// Zero pages from a multiple of 2 MiB on, so that all of them can be huge; `size` is one too.
std::byte* map_pages(std::size_t size) {
  if (size > PTRDIFF_MAX - kHuge) out_of_memory(size);
  void* p =
      ::mmap(nullptr, size + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) out_of_memory(size);
  auto* mapped = static_cast<std::byte*>(p);
  const std::size_t before = (kHuge - reinterpret_cast<std::uintptr_t>(p) % kHuge) % kHuge;
  if (before > 0) ::munmap(mapped, before);
  ::munmap(mapped + before + size, kHuge - before);
#ifdef MADV_HUGEPAGE
  ::madvise(mapped + before, size, MADV_HUGEPAGE);
#endif
  return mapped + before;
}

}  // namespace

// Buffers are cut from a region one behind the other, and no byte is given out twice.
struct AlignedBuffer::Region {
  std::byte* begin;
  std::size_t size, used = 0, buffers = 0;

  explicit Region(std::size_t bytes) : begin(map_pages(bytes)), size(bytes) {}
  ~Region() { ::munmap(begin, size); }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
};

// All regions of the process; the newest still has room.
class AlignedBuffer::Regions {
 public:
  std::byte* take(std::size_t size, Region*& from) {
    const std::lock_guard lock(mutex_);
    if (newest_ == nullptr || newest_->size - newest_->used < round_up(size, kLine)) {
      auto* fresh = new Region(std::max(kRegion, round_up(size, kHuge)));
      if (newest_ != nullptr && newest_->buffers == 0) delete newest_;
      newest_ = fresh;
    }
    from = newest_;
    ++from->buffers;
    return from->begin + std::exchange(from->used, from->used + round_up(size, kLine));
  }
  void give_back(Region* region) noexcept {
    const std::lock_guard lock(mutex_);
    if (--region->buffers > 0) return;
    if (region == newest_) newest_ = nullptr;
    delete region;
  }
  // Never destroyed: buffers of static objects may outlive any other static.
  static Regions& all() {
    static auto* regions = new Regions;
    return *regions;
  }

 private:
  static constexpr std::size_t kRegion = std::size_t{32} << 20;

  std::mutex mutex_;
  Region* newest_ = nullptr;
};

AlignedBuffer::AlignedBuffer(std::size_t size, Pages pages) : size_(size) {
  if (size == 0) return;
  if (size > PTRDIFF_MAX - kHuge) out_of_memory(size);
  if (pages == Pages::kShared) {
    data_ = Regions::all().take(size, region_);
  } else if (size >= kHuge) {
    data_ = map_pages(round_up(size, kHuge));
  } else {
    data_ = static_cast<std::byte*>(std::aligned_alloc(kLine, round_up(size, kLine)));
    if (data_ == nullptr) out_of_memory(size);
    std::memset(data_, 0, size);
  }
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ == nullptr) return;
  if (region_ != nullptr) {
    Regions::all().give_back(region_);
  } else if (size_ >= kHuge) {
    ::munmap(data_, round_up(size_, kHuge));
  } else {
    std::free(data_);
  }
}

}  // namespace tern
