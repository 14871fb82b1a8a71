// N children and what becomes of them.
#include "tern/cli_train/launcher.h"

#include <fmt/core.h>

#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "tern/base/child_processes.h"
#include "tern/base/network.h"
#include "tern/base/system.h"
#include "tern/cli/console.h"

namespace tern::cli {
namespace {

// Longer than a process takes to find out that another is gone (distributed.silence).
constexpr double kPatience = 25;

using Variables = std::vector<std::pair<std::string, std::string>>;

Variables variables_of(std::size_t rank, std::size_t count, std::uint16_t port) {
  return {{"RANK", std::to_string(rank)},
          {"LOCAL_RANK", std::to_string(rank)},
          {"WORLD_SIZE", std::to_string(count)},
          {"LOCAL_WORLD_SIZE", std::to_string(count)},
          {"MASTER_ADDR", "127.0.0.1"},
          {"MASTER_PORT", std::to_string(port)},
          {kLaunchedVariable, "1"},
          {"TERN_NPROC", ""},
          {"TORCHELASTIC_USE_AGENT_STORE", ""},
          {"TORCHELASTIC_RESTART_COUNT", ""},
          {"GLOO_SOCKET_IFNAME", ""}};
}

}  // namespace

int launch(std::size_t count, std::span<const std::string> args) {
  const auto program = std::filesystem::path(executable_folder()) / "tern-train";
  const InterruptGuard interrupts(true);
  ChildProcesses children;
  const std::uint16_t port = free_loopback_port();
  for (std::size_t r = 0; r < count; ++r) {
    children.start(program, args, variables_of(r, count, port));
  }
  bool asked = false, failed = false;
  double failed_at = 0;
  while (children.running() > 0) {
    if (InterruptGuard::pressed() && !std::exchange(asked, true)) children.terminate();
    if (const auto ended = children.wait(0.2)) {
      if (ended->status == 0 && ended->signal == 0) continue;
      if (ended->signal != 0) {
        say(
            fmt::format("rank {} was ended by signal {} ({}), so all end; go on with the same "
                        "command and --resume",
                        ended->child, ended->signal, ::strsignal(ended->signal)));
      }
      if (!std::exchange(failed, true)) failed_at = monotonic_seconds();
    }
    if (failed && monotonic_seconds() - failed_at > kPatience) {
      say(fmt::format("{} processes had not ended {:g} s after another had failed and were killed",
                      children.running(), kPatience));
      break;  // ChildProcesses kills what is left.
    }
  }
  return failed ? 1 : 0;
}

}  // namespace tern::cli
