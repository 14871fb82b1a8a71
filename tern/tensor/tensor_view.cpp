// Shapes as people write them.
#include "tern/tensor/tensor_view.h"

namespace tern {

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  if (shape.empty()) return "scalar";
  std::string text;
  for (const std::uint64_t n : shape) text += (text.empty() ? "" : "x") + std::to_string(n);
  return text;
}

}  // namespace tern
