// Any bytes as a safetensors file: read it or refuse it.
#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/base/error.h"
#include "tern/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const tern::formats::SafetensorsFile file(std::as_bytes(std::span(data, size)), "input");
    std::size_t covered = 0;
    volatile unsigned sum = 0;
    for (const tern::TensorView& tensor : file.tensors()) {
      if (file.tensor(tensor.name) != &tensor) __builtin_trap();
      covered += tensor.bytes.size();
      for (const std::byte byte : tensor.bytes) sum = sum + std::to_integer<unsigned>(byte);
    }
    if (covered > size) __builtin_trap();  // Tensors would overlap.
  } catch (const tern::Error&) {
  }
  return 0;
}
