// A number of bytes as people read it.
#pragma once

#include <cstdint>
#include <string>

namespace tern {

// "20 B", "1.5 GiB", "20.0 KiB".
std::string size_text(std::uint64_t bytes);

}  // namespace tern
