// Which tern this is: for --version, bug reports and what files and traces say of their maker.
#pragma once

#include <string>

namespace tern {

// "0.1.0".
std::string version_number();

// "tern 0.1.0 (commit 1a2b3c4d5e6f, g++ 12.2.0)". The commit is the one that was built, with "+"
// after it if the sources had been changed; "unknown" in a build without git.
std::string version_text();

}  // namespace tern
