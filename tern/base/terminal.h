// The terminal that a person types at: set for the program while it lives, and as it was at the
// end, however that comes.
#pragma once

#include <string_view>

#include "tern/base/line_editor.h"

namespace tern {

// Reads from stdin and draws on stderr. While it lives, what is typed is shown by the editor alone
// (what comes meanwhile waits for it), and:
// - SIGINT sets interrupted(); one that comes while interrupted() is still set ends the program.
// - SIGINT so, SIGTERM, SIGHUP and SIGQUIT give the terminal its settings back before they end the
//   program; SIGTSTP (Ctrl-Z) before it stops it, and SIGCONT takes them again.
// One at a time, and no InterruptGuard beside it. Not for several threads.
class Terminal : public LineTerminal {
 public:
  // Whether stdin and stderr are a terminal that can be drawn on (TERM is not "dumb").
  static bool usable();

  Terminal();  // Requires usable(). Throws Error(kIo).
  ~Terminal() override;
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  static bool interrupted() noexcept;
  static void clear_interrupt() noexcept;

  void begin_editing() override;
  void end_editing() noexcept override;
  TerminalInput read(int milliseconds) override;
  void write(std::string_view bytes) override;
  TerminalSize size() override;
  void suspend() override;
};

}  // namespace tern
