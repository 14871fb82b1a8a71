// A library of its own, because it is built anew for each commit.
#include "tern/base/version.h"

#include "tern_build.h"  // Written by cmake/WriteBuildHeader.cmake.

namespace tern {

std::string version_number() { return TERN_BUILD_VERSION; }

std::string version_text() {
  return "tern " TERN_BUILD_VERSION " (commit " TERN_BUILD_COMMIT ", " TERN_BUILD_COMPILER ")";
}

}  // namespace tern
