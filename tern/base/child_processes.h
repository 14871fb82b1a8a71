// Programs that this one starts and waits for.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tern {

// All children of one parent; used by the thread that made it. They get SIGTERM where the parent
// ends without waiting for them, however it ends, and SIGKILL where this object dies before they
// do.
class ChildProcesses {
 public:
  // How a child ended.
  struct Ended {
    std::size_t child = 0;  // In the order of start().
    int status = 0;         // Its exit status; of no meaning where a signal ended it.
    int signal = 0;         // 0: none.
  };

  ChildProcesses() = default;
  ~ChildProcesses();
  ChildProcesses(const ChildProcesses&) = delete;
  ChildProcesses& operator=(const ChildProcesses&) = delete;

  // Starts `program` with the words `args` after its name, this process's environment with
  // `variables` set over it (an empty value: taken away), and its standard streams. Throws
  // Error(kIo).
  void start(const std::filesystem::path& program, std::span<const std::string> args,
             std::span<const std::pair<std::string, std::string>> variables);

  std::size_t running() const noexcept;
  // The next child that has ended; empty where none has within `seconds`, sooner where a signal
  // came.
  std::optional<Ended> wait(double seconds);
  void terminate() const noexcept;  // SIGTERM to those that run.
  void kill() const noexcept;       // SIGKILL.

 private:
  void send(int signal) const noexcept;

  std::vector<int> ids_;  // 0: has ended.
};

}  // namespace tern
