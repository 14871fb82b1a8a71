// fork, exec, wait.
#include "tern/base/child_processes.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <system_error>

#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern {
namespace {

// This process's environment, with `variables` over it, as NAME=VALUE.
std::vector<std::string> environment_with(
    std::span<const std::pair<std::string, std::string>> variables) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const bool replaced = std::ranges::any_of(
        variables, [&](const auto& v) { return text.starts_with(v.first + "="); });
    if (!replaced) out.push_back(text);
  }
  for (const auto& [name, value] : variables) {
    if (!value.empty()) out.push_back(name + "=" + value);
  }
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

ChildProcesses::~ChildProcesses() {
  kill();
  for (const int id : ids_) {
    if (id > 0) ::waitpid(id, nullptr, 0);
  }
}

void ChildProcesses::start(const std::filesystem::path& program, std::span<const std::string> args,
                           std::span<const std::pair<std::string, std::string>> variables) {
  std::vector<std::string> words{program.string()};
  words.insert(words.end(), args.begin(), args.end());
  std::vector<std::string> settings = environment_with(variables);
  const std::vector<char*> argv = pointers(words), envp = pointers(settings);
  std::fflush(nullptr);
  // Through this pipe comes the reason, where the program cannot be started; it closes itself where
  // it can.
  int report[2];
  if (::pipe2(report, O_CLOEXEC) != 0) throw Error(ErrorCode::kIo, "cannot open a pipe");
  const int parent = ::getpid();
  const int id = ::fork();
  if (id == 0) {  // From here on only what is safe between fork and exec.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    int error = ECHILD;  // The parent was gone before its death could be told.
    if (::getppid() == parent) {
      ::execve(argv[0], argv.data(), envp.data());
      error = errno;
    }
    [[maybe_unused]] const auto written = ::write(report[1], &error, sizeof(error));
    ::_exit(127);
  }
  int error = id < 0 ? errno : 0;
  ::close(report[1]);
  if (id > 0 && ::read(report[0], &error, sizeof(error)) > 0) ::waitpid(id, nullptr, 0);
  ::close(report[0]);
  if (error != 0) {
    throw Error(ErrorCode::kIo,
                program.string() + ": cannot start it: " + std::generic_category().message(error));
  }
  ids_.push_back(id);
}

std::size_t ChildProcesses::running() const noexcept {
  return static_cast<std::size_t>(std::ranges::count_if(ids_, [](int id) { return id > 0; }));
}

std::optional<ChildProcesses::Ended> ChildProcesses::wait(double seconds) {
  const double until = monotonic_seconds() + seconds;
  while (running() > 0) {
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      int status = 0;
      if (ids_[i] <= 0 || ::waitpid(ids_[i], &status, WNOHANG) != ids_[i]) continue;
      ids_[i] = 0;
      return Ended{.child = i,
                   .status = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                   .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0};
    }
    if (monotonic_seconds() >= until) break;
    const timespec pause{.tv_sec = 0, .tv_nsec = 20'000'000};
    if (::nanosleep(&pause, nullptr) != 0) break;
  }
  return std::nullopt;
}

void ChildProcesses::send(int signal) const noexcept {
  for (const int id : ids_) {
    if (id > 0) ::kill(id, signal);
  }
}

void ChildProcesses::terminate() const noexcept { send(SIGTERM); }
void ChildProcesses::kill() const noexcept { send(SIGKILL); }

}  // namespace tern
