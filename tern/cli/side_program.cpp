// Built and installed into one folder.
#include "tern/cli/side_program.h"

#include <fmt/core.h>

#include <filesystem>

#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern::cli {

void become_side_program(const char* name, std::span<const std::string> words,
                         std::string_view part, std::string_view option) {
  const std::filesystem::path program = std::filesystem::path(executable_folder()) / name;
  std::error_code error;
  if (!std::filesystem::exists(program, error)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("this tern was built without {} ({} is not there); build it with {}",
                            part, program.string(), option));
  }
  become_program(program, words);
}

}  // namespace tern::cli
