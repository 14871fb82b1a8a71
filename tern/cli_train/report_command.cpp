// `tern train report RUN...`: one HTML page about one run or several.
#include <fmt/core.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tern/base/atomic_file.h"
#include "tern/cli/console.h"
#include "tern/cli_train/command.h"
#include "tern/train/run_report.h"

namespace tern::cli {

int run_report(std::span<const std::string> args) {
  CLI::App app("Writes one HTML page with the curves, samples and configs of runs",
               "tern train report");
  std::vector<std::filesystem::path> runs;
  std::string out = "report.html";
  app.add_option("RUN", runs, "folders of runs; several are shown side by side")->required();
  app.add_option("-o,--output", out, "the page")->capture_default_str();
  parse(app, args);
  write_file(out, train::run_report(runs));
  fmt::print("{}\n", out);
  return 0;
}

}  // namespace tern::cli
