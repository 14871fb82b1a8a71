// `tern cpu`: what a bug report needs: the machine, which kernels exist here and which one runs.
#include <fmt/core.h>

#include "tern/base/json.h"
#include "tern/base/system.h"
#include "tern/base/thread_pool.h"
#include "tern/base/version.h"
#include "tern/cli/command.h"
#include "tern/cli/options.h"
#include "tern/kernels/dispatch.h"

namespace tern::cli {

int run_cpu(std::span<const std::string> args) {
  bool json = false;
  CLI::App app("What this machine is and which kernels it will use (TERN_ISA forces one).",
               "tern cpu");
  app.add_flag("--json", json, "machine-readable");
  parse(app, args);

  const kernels::KernelTable& active = kernels::table_from_environment();
  const double gib = static_cast<double>(physical_memory()) / (1 << 30);
  if (json) {
    Json tables = Json::array();
    for (const auto* table : kernels::all_tables()) {
      tables.push_back({{"name", kernels::table_name(*table)},
                        {"usable", kernels::table_supported(*table)},
                        {"in_use", table == &active}});
    }
    fmt::print("{}\n", dump_json({{"cpu", cpu_model()},
                                  {"threads", default_threads()},
                                  {"memory_bytes", physical_memory()},
                                  {"version", version_text()},
                                  {"kernels", tables}}));
    return 0;
  }
  fmt::print("{}\n{}, {} threads for tern, {:.1f} GiB of memory\n", version_text(), cpu_model(),
             default_threads(), gib);
  for (const auto* table : kernels::all_tables()) {
    fmt::print("  {:<14} {}\n", kernels::table_name(*table),
               table == &active                   ? "in use"
               : kernels::table_supported(*table) ? "usable"
                                                  : "not on this CPU");
  }
  return 0;
}

}  // namespace tern::cli
