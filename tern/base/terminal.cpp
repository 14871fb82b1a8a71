// termios, signals, and a pipe by which signals wake who waits for a key.
#include "tern/base/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern {
namespace {

constexpr std::string_view kPasteOn = "\033[?2004h";
constexpr std::string_view kPasteOff = "\033[?2004l";
constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

// What the signal handlers need; a process has one terminal and one set of handlers.
struct State {
  termios before{}, quiet{}, editing{};
  volatile std::sig_atomic_t is_editing = 0, interrupted = 0, resized = 0;
  int wake_read = -1, wake_write = -1;
  std::array<struct sigaction, kSignals.size()> previous{};
};
State g_terminal;

void write_all(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // A terminal that is gone: reading says so.
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void set(const termios& settings) noexcept {
  while (::tcsetattr(STDIN_FILENO, TCSADRAIN, &settings) != 0 && errno == EINTR) {
  }
}

void take() noexcept {
  set(g_terminal.is_editing ? g_terminal.editing : g_terminal.quiet);
  if (g_terminal.is_editing) write_all(kPasteOn);
}

void give_back() noexcept {
  if (g_terminal.is_editing) write_all(kPasteOff);
  set(g_terminal.before);
}

void wake() noexcept {
  const char byte = 0;
  [[maybe_unused]] const auto written = ::write(g_terminal.wake_write, &byte, 1);
}

// What SIGTSTP does to a program that does not handle it: nothing where no shell could wake it up.
// Returns when the program goes on. Called by the handler, in which SIGTSTP is blocked.
void stop() noexcept {
  struct sigaction usual{}, ours{};
  usual.sa_handler = SIG_DFL;
  ::sigaction(SIGTSTP, &usual, &ours);
  sigset_t only, blocked;
  ::sigemptyset(&only);
  ::sigaddset(&only, SIGTSTP);
  ::raise(SIGTSTP);
  ::pthread_sigmask(SIG_UNBLOCK, &only, &blocked);
  ::pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
  ::sigaction(SIGTSTP, &ours, nullptr);
}

// Calls only what may be called in a signal handler.
extern "C" void on_terminal_signal(int signal) {
  const int saved = errno;
  if (signal == SIGWINCH) {
    g_terminal.resized = 1;
    wake();
  } else if (signal == SIGTSTP) {
    give_back();
    stop();
    take();
    g_terminal.resized = 1;
    wake();
  } else if (signal == SIGINT && !g_terminal.interrupted) {
    g_terminal.interrupted = 1;
    wake();
  } else {
    give_back();
    struct sigaction usual{};
    usual.sa_handler = SIG_DFL;
    ::sigaction(signal, &usual, nullptr);
    ::raise(signal);  // Comes when this handler returns.
  }
  errno = saved;
}

[[noreturn]] void fail(const char* doing) {
  const std::string reason = std::generic_category().message(errno);
  throw Error(ErrorCode::kIo, std::string("terminal: cannot ") + doing + ": " + reason);
}

void make_settings() {
  if (::tcgetattr(STDIN_FILENO, &g_terminal.before) != 0) fail("read its settings");
  g_terminal.quiet = g_terminal.before;
  termios& quiet = g_terminal.quiet;
  quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  quiet.c_lflag |= ISIG;
  quiet.c_cc[VMIN] = 1;
  quiet.c_cc[VTIME] = 0;
  g_terminal.editing = quiet;
  termios& editing = g_terminal.editing;
  editing.c_lflag &= ~static_cast<tcflag_t>(ISIG | IEXTEN);
  editing.c_iflag &= ~static_cast<tcflag_t>(ICRNL | INLCR | IGNCR | IXON | ISTRIP);
}

}  // namespace

bool Terminal::usable() {
  const auto term = environment("TERM");
  return stdin_is_terminal() && stderr_is_terminal() && term && *term != "dumb" && !term->empty();
}

Terminal::Terminal() {
  make_settings();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) fail("be woken by signals");
  g_terminal.wake_read = ends[0];
  g_terminal.wake_write = ends[1];
  g_terminal.is_editing = 0;
  g_terminal.interrupted = 0;
  g_terminal.resized = 0;
  struct sigaction action{};
  action.sa_handler = on_terminal_signal;
  action.sa_flags = SA_RESTART;  // Writing the answer goes on.
  for (const int signal : kSignals) ::sigaddset(&action.sa_mask, signal);
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    struct sigaction& previous = g_terminal.previous[i];
    ::sigaction(kSignals[i], &action, &previous);
    // What is ignored stays so (nohup).
    if (previous.sa_handler == SIG_IGN) ::sigaction(kSignals[i], &previous, nullptr);
  }
  take();
}

Terminal::~Terminal() {
  give_back();
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], &g_terminal.previous[i], nullptr);
  }
  ::close(g_terminal.wake_read);
  ::close(g_terminal.wake_write);
}

bool Terminal::interrupted() noexcept { return g_terminal.interrupted != 0; }
void Terminal::clear_interrupt() noexcept { g_terminal.interrupted = 0; }

void Terminal::begin_editing() {
  g_terminal.is_editing = 1;
  take();
}

void Terminal::end_editing() noexcept {
  write_all(kPasteOff);
  g_terminal.is_editing = 0;
  take();
}

TerminalInput Terminal::read(int milliseconds) {
  using Event = TerminalInput::Event;
  for (;;) {
    std::array<pollfd, 2> files{{{STDIN_FILENO, POLLIN, 0}, {g_terminal.wake_read, POLLIN, 0}}};
    const int ready = ::poll(files.data(), files.size(), milliseconds);
    const bool failed = ready < 0 && errno != EINTR;
    char drained[64];
    while (::read(g_terminal.wake_read, drained, sizeof(drained)) > 0) {
    }
    if (g_terminal.interrupted) {
      g_terminal.interrupted = 0;
      return {Event::kInterrupt, 0};
    }
    if (g_terminal.resized) {
      g_terminal.resized = 0;
      return {Event::kResized, 0};
    }
    if (ready == 0) return {Event::kQuiet, 0};
    if (failed) return {Event::kClosed, 0};
    if (ready < 0 || files[0].revents == 0) continue;
    unsigned char byte = 0;
    const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
    if (n == 1) return {Event::kByte, byte};
    if (n == 0 || (errno != EINTR && errno != EAGAIN)) return {Event::kClosed, 0};
  }
}

void Terminal::write(std::string_view bytes) { write_all(bytes); }

TerminalSize Terminal::size() {
  struct winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
  return {size.ws_col, size.ws_row == 0 ? std::size_t{24} : size.ws_row};
}

// All processes of the pipeline stop, as Ctrl-Z stops them elsewhere.
void Terminal::suspend() {
  end_editing();
  ::kill(0, SIGTSTP);
  begin_editing();
  g_terminal.resized = 0;
}

}  // namespace tern
