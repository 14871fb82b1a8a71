// Programs that stand beside tern and that it starts, so that it need not load what they do.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tern::cli {

// Becomes the program `name` in the folder of this one, with `words` after its name. Throws
// Error(kUnsupported) where it is not there: this tern was built without `part`, which `option`
// builds.
[[noreturn]] void become_side_program(const char* name, std::span<const std::string> words,
                                      std::string_view part, std::string_view option);

}  // namespace tern::cli
