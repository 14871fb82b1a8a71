// Where a forward pass can show every operation's output (docs/trace.md).
#pragma once

#include <cstddef>
#include <string>

#include "tern/tensor/dtype.h"

namespace tern::model {

class Trace {
 public:
  virtual ~Trace() = default;
  // `rows` rows of `cols` numbers, row r at data + r * stride (stride in numbers); valid only
  // during the call. Rows of one name arrive in the order of the tokens.
  virtual void rows(const std::string& name, DType type, const void* data, std::size_t rows,
                    std::size_t cols, std::size_t stride) = 0;
};

}  // namespace tern::model
