// `tern pull`: starts the program tern-pull, which alone needs libcurl.
#include <string>
#include <vector>

#include "tern/cli/command.h"
#include "tern/cli/side_program.h"

namespace tern::cli {

int run_pull(std::span<const std::string> args) {
  std::vector<std::string> words(args.begin(), args.end());
  words.insert(words.begin(), "pull");
  become_side_program("tern-pull", words, "downloads", "-DTERN_HUB=ON");
}

}  // namespace tern::cli
