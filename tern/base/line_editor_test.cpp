// The line editor on a terminal made of cells: what is entered, and what the screen shows.
#include "tern/base/line_editor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <variant>
#include <vector>

#include "tern/base/char_width.h"
#include "tern/base/key_decoder.h"
#include "tern/base/line_layout.h"
#include "tern/base/utf8.h"

namespace tern {
namespace {

// A small VT100: cells, a cursor that waits in the last column until the next character wraps it,
// and the few sequences that the editor may use. Others fail the test.
class Screen {
 public:
  Screen(std::size_t columns, std::size_t rows) : columns_(columns), rows_(rows) {
    cells_.assign(rows_, blank_row());
  }

  void write(std::string_view bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
      if (bytes[at] == '\033') {
        at = escape(bytes, at);
        continue;
      }
      const Utf8Char c = next_char(bytes, at);
      ASSERT_TRUE(c.valid);
      put(std::string(bytes.substr(at, c.size)), c.code_point);
      at += c.size;
    }
  }

  // The rows down to the last that is not blank, without blanks at their ends.
  std::vector<std::string> text() const {
    std::vector<std::string> rows;
    for (const auto& row : cells_) {
      std::string line;
      for (const std::string& cell : row) line += cell;
      line.erase(line.find_last_not_of(' ') + 1);
      rows.push_back(line);
    }
    while (!rows.empty() && rows.back().empty()) rows.pop_back();
    return rows;
  }
  std::pair<std::size_t, std::size_t> cursor() const { return {row_, column_}; }
  std::size_t columns() const { return columns_; }
  std::size_t rows() const { return rows_; }

 private:
  std::vector<std::string> blank_row() const { return std::vector<std::string>(columns_, " "); }

  void line_feed() {
    if (++row_ < rows_) return;
    row_ = rows_ - 1;
    cells_.erase(cells_.begin());
    cells_.push_back(blank_row());
  }

  void put(const std::string& bytes, std::uint32_t c) {
    if (c == '\r' || c == '\n') {
      wrap_pending_ = false;
      if (c == '\r') column_ = 0;
      if (c == '\n') line_feed();
      return;
    }
    ASSERT_FALSE(is_control(c)) << c;
    const auto width = static_cast<std::size_t>(char_width(c));
    if (width == 0) {
      std::size_t at = wrap_pending_ ? column_ : column_ - 1;
      while (cells_[row_][at].empty()) --at;
      cells_[row_][at] += bytes;
      return;
    }
    if (wrap_pending_ || column_ + width > columns_) {
      column_ = 0;
      line_feed();
      wrap_pending_ = false;
    }
    cells_[row_][column_] = bytes;
    if (width == 2) cells_[row_][column_ + 1] = "";
    column_ += width;
    if (column_ == columns_) {
      column_ = columns_ - 1;
      wrap_pending_ = true;
    }
  }

  std::size_t escape(std::string_view bytes, std::size_t at) {
    EXPECT_EQ(bytes[at + 1], '[');
    std::size_t number = 0, end = at + 2;
    bool given = false;
    for (; bytes[end] >= '0' && bytes[end] <= '9'; ++end) {
      number = number * 10 + static_cast<std::size_t>(bytes[end] - '0');
      given = true;
    }
    const std::size_t steps = std::max<std::size_t>(number, 1);
    wrap_pending_ = false;
    switch (bytes[end]) {
      case 'A':
        row_ -= std::min(row_, steps);
        break;
      case 'C':
        column_ = std::min(column_ + steps, columns_ - 1);
        break;
      case 'H':
        row_ = column_ = 0;
        break;
      case 'J':
        for (std::size_t r = number == 2 ? 0 : row_; r < rows_; ++r) {
          const std::size_t from = number == 2 || r > row_ ? 0 : column_;
          std::fill(cells_[r].begin() + static_cast<std::ptrdiff_t>(from), cells_[r].end(), " ");
        }
        break;
      default:
        ADD_FAILURE() << "an unknown sequence" << given << bytes.substr(at, end - at + 1);
    }
    return end + 1;
  }

  std::size_t columns_, rows_, row_ = 0, column_ = 0;
  bool wrap_pending_ = false;
  std::vector<std::vector<std::string>> cells_;  // "" right of a wide character.
};

// Plays keys, and looks at the screen between them.
class FakeTerminal : public LineTerminal {
 public:
  explicit FakeTerminal(std::size_t columns = 20, std::size_t rows = 6) : screen(columns, rows) {}

  FakeTerminal& type(std::string_view bytes) {
    steps_.emplace_back(std::string(bytes));
    return *this;
  }
  FakeTerminal& look(std::function<void()> check) {
    steps_.emplace_back(std::move(check));
    return *this;
  }
  FakeTerminal& shows(std::vector<std::string> rows, std::size_t row, std::size_t column) {
    return look([this, rows, row, column] {
      EXPECT_EQ(screen.text(), rows);
      EXPECT_EQ(screen.cursor(), std::pair(row, column));
    });
  }
  FakeTerminal& event(TerminalInput::Event event) {
    steps_.emplace_back(event);
    return *this;
  }

  void begin_editing() override { ++editing; }
  void end_editing() noexcept override { --editing; }
  TerminalInput read(int milliseconds) override {
    using Event = TerminalInput::Event;
    while (!steps_.empty()) {
      if (auto* bytes = std::get_if<std::string>(&steps_.front())) {
        if (bytes->empty()) {
          steps_.pop_front();
          continue;
        }
        const auto byte = static_cast<unsigned char>((*bytes)[0]);
        bytes->erase(0, 1);
        return {Event::kByte, byte};
      }
      if (const auto* happens = std::get_if<Event>(&steps_.front())) {
        const Event now = *happens;
        steps_.pop_front();
        return {now, 0};
      }
      if (milliseconds == 0) return {Event::kQuiet, 0};
      const auto check = std::get<std::function<void()>>(steps_.front());
      steps_.pop_front();
      check();
    }
    return {milliseconds == 0 ? Event::kQuiet : Event::kClosed, 0};
  }
  void write(std::string_view bytes) override {
    ++writes;
    screen.write(bytes);
  }
  TerminalSize size() override { return {screen.columns(), screen.rows()}; }
  void suspend() override { ++suspended; }

  Screen screen;
  int editing = 0, writes = 0, suspended = 0;

 private:
  std::deque<std::variant<std::string, std::function<void()>, TerminalInput::Event>> steps_;
};

std::string entered(std::string_view bytes) {
  FakeTerminal terminal;
  LineHistory history;
  terminal.type(bytes);
  const EditedLine line = LineEditor(terminal, history).read_line("> ");
  EXPECT_EQ(line.end, EditedLine::End::kEntered);
  EXPECT_EQ(terminal.editing, 0);
  return line.text;
}

constexpr const char* kLeft = "\033[D";
constexpr const char* kRight = "\033[C";
constexpr const char* kUp = "\033[A";
constexpr const char* kDown = "\033[B";

std::string keys(std::initializer_list<const char*> parts) {
  std::string all;
  for (const char* part : parts) all += part;
  return all;
}

TEST(LineEditor, EditsWhatIsTyped) {
  EXPECT_EQ(entered("hello\r"), "hello");
  EXPECT_EQ(entered("hello\n"), "hello");
  EXPECT_EQ(entered(keys({"helo", kLeft, "l\r"})), "hello");
  EXPECT_EQ(entered("elx\177\001h\005lo\r"), "hello");
  EXPECT_EQ(entered(keys({"xhello", "\033[H", "\033[3~", "\r"})), "hello");
  EXPECT_EQ(entered(keys({"hellox", "\033OD", "\004", "\r"})), "hello");
  EXPECT_EQ(entered(keys({"ab", kLeft, kLeft, kLeft, kRight, "-", kRight, kRight, "+\r"})), "a-b+");
  EXPECT_EQ(entered("one\033[1~two \033[4~ three\r"), "two one three");
  EXPECT_EQ(entered("\r"), "");
}

TEST(LineEditor, KillsAndYanks) {
  EXPECT_EQ(entered("rubbish\025text\r"), "text");
  EXPECT_EQ(entered(keys({"keep drop", kLeft, kLeft, kLeft, kLeft, kLeft, "\013\r"})), "keep");
  EXPECT_EQ(entered("one two  \027three\r"), "one three");
  EXPECT_EQ(entered("second first\027\001\031 \r"), "first second ");
  EXPECT_EQ(entered("one two\001\033d\r"), " two");
  EXPECT_EQ(entered("one two\033b-\033[1;5D\033[1;5D+\033fx\r"), "+onex -two");
}

TEST(LineEditor, StepsByCharactersOfAnyWidth) {
  EXPECT_EQ(entered(keys({"日本", kLeft, "の", kRight, "語\r"})), "日の本語");
  EXPECT_EQ(entered("日本語\177\177\r"), "日");
  EXPECT_EQ(entered("e\xCC\x81x\177\177\r"), "");  // A letter and its accent go together.
  EXPECT_EQ(entered(keys({"か\u3099き", kLeft, kLeft, "x\r"})), "xか\u3099き");
  EXPECT_EQ(entered("私は東京タワーへ行く\027\027\r"), "私は東京タワーへ");
  EXPECT_EQ(entered("私は東京タワーへ\027\027\r"), "私は東京");
}

TEST(LineEditor, DropsWhatIsNoTextAndNoKey) {
  EXPECT_EQ(entered("a\xFF\xC3\x28\xE6\x97z\r"), "a(z");
  EXPECT_EQ(entered("a\033[99;99~\033[[A\033OP\033[1;2Qb\033xc\001\005\r"), "abc");
  EXPECT_EQ(entered("a\007\016b\r"), "ab");
  FakeTerminal terminal;
  LineHistory history;
  terminal.type("a\033").look([] {}).event(TerminalInput::Event::kQuiet).type("b\r");
  EXPECT_EQ(LineEditor(terminal, history).read_line("> ").text, "ab");  // A lone Escape key.
}

TEST(LineEditor, AFaultySequenceNeverHidesCtrlC) {
  for (const char* begun : {"\033", "\033[", "\033[1;", "\033O", "\033[200~text", "\xE6"}) {
    FakeTerminal terminal;
    LineHistory history;
    terminal.type(begun).type("\003");
    EXPECT_EQ(LineEditor(terminal, history).read_line("> ").end, EditedLine::End::kInterrupted);
  }
}

TEST(LineEditor, PastesWithoutSending) {
  EXPECT_EQ(entered("\033[200~one\r\ntwo\rthree\nfour\tx\033[31m\007\001\033[201~!\r"),
            "one\ntwo\nthree\nfour\tx!");
  EXPECT_EQ(entered("one\\\rtwo\\\r\\\\\rthree\r"), "one\ntwo\n\\\nthree");
  EXPECT_EQ(entered("one\033\rtwo\r"), "one\ntwo");  // Alt-Enter.
}

TEST(LineEditor, Ends) {
  using End = EditedLine::End;
  LineHistory history;
  const auto end_of = [&](std::string_view bytes) {
    FakeTerminal terminal;
    terminal.type(bytes);
    const EditedLine line = LineEditor(terminal, history).read_line("> ");
    EXPECT_EQ(terminal.editing, 0);
    EXPECT_EQ(terminal.screen.cursor().second, 0u);
    return line.end;
  };
  EXPECT_EQ(end_of("\004"), End::kClosed);
  EXPECT_EQ(end_of("a\177\004"), End::kClosed);
  EXPECT_EQ(end_of("text\003"), End::kInterrupted);
  EXPECT_EQ(end_of("text"), End::kClosed);  // The terminal is gone.
  EXPECT_EQ(end_of("te\032xt\r"), End::kEntered);
  FakeTerminal terminal;
  terminal.type("text").event(TerminalInput::Event::kInterrupt);
  const EditedLine line = LineEditor(terminal, history).read_line("> ");
  EXPECT_EQ(line.end, End::kInterrupted);
  EXPECT_EQ(line.text, "text");
}

TEST(LineEditor, EndsTheEditingModeWhenTheTerminalThrows) {
  struct Broken : FakeTerminal {
    TerminalInput read(int) override { throw std::runtime_error("broken"); }
  } terminal;
  LineHistory history;
  EXPECT_THROW(LineEditor(terminal, history).read_line("> "), std::runtime_error);
  EXPECT_EQ(terminal.editing, 0);
}

TEST(LineEditor, RemembersLines) {
  LineHistory history;
  for (const char* line : {"first", "second", "third\nof two"}) history.add(line);
  const auto read = [&](std::string_view bytes) {
    FakeTerminal terminal;
    terminal.type(bytes);
    return LineEditor(terminal, history).read_line("> ").text;
  };
  EXPECT_EQ(read(keys({kUp, "\r"})), "third\nof two");
  EXPECT_EQ(read(keys({kUp, kUp, kUp, "\r"})), "second");  // One step through the two lines.
  EXPECT_EQ(read(keys({kUp, kUp, kUp, kUp, kUp, kUp, "!\r"})), "first!");
  EXPECT_EQ(read(keys({"draft", kUp, kUp, kUp, kDown, kDown, kDown, kDown, "!\r"})), "draft!");
  EXPECT_EQ(read(keys({kDown, "x\r"})), "x");
}

TEST(LineEditor, MovesThroughLines) {
  EXPECT_EQ(entered(keys({"abc\\\rdef", kUp, "1", kDown, "2\r"})), "abc1\ndef2");
  EXPECT_EQ(entered(keys({"abcdef\\\rx", kUp, "1", kDown, "2\r"})), "a1bcdef\nx2");
  EXPECT_EQ(entered(keys({"日本\\\rx\\\rabc", kUp, kUp, "\001-\r"})), "-日本\nx\nabc");
  EXPECT_EQ(entered(keys({"one\\\rtwo", "\001", "\013", "\025", "x\r"})), "one\nx");
}

TEST(LineEditor, DrawsAndWraps) {
  FakeTerminal terminal(10, 6);
  LineHistory history;
  terminal.look([] {})
      .shows({">"}, 0, 2)
      .type("abcdefg")
      .shows({"> abcdefg"}, 0, 9)
      .type("h")  // The row is full: the cursor stands in the next.
      .shows({"> abcdefgh"}, 1, 0)
      .type("ij")
      .shows({"> abcdefgh", "ij"}, 1, 2)
      .type("\001")
      .shows({"> abcdefgh", "ij"}, 0, 2)
      .type("1")
      .shows({"> 1abcdefg", "hij"}, 0, 3)
      .type("\005\177\177\177\177")
      .shows({"> 1abcdef"}, 0, 9)
      .type("\r");
  EXPECT_EQ(LineEditor(terminal, history).read_line("> ").text, "1abcdef");
  EXPECT_EQ(terminal.screen.cursor(), std::pair(std::size_t{1}, std::size_t{0}));
}

TEST(LineEditor, DrawsWideCharactersAndLines) {
  FakeTerminal terminal(9, 6);
  LineHistory history;
  terminal.look([] {})
      .type("日本語")
      .shows({"> 日本語"}, 0, 8)
      .type("の")  // Two columns do not fit into the last one.
      .shows({"> 日本語", "の"}, 1, 2)
      .type(kLeft)
      .shows({"> 日本語", "の"}, 1, 0)
      .type(kLeft)
      .shows({"> 日本語", "の"}, 0, 6)
      .type("\005\\\rx")
      .shows({"> 日本語", "の", "  x"}, 2, 3)
      .type("か\u3099")
      .shows({"> 日本語", "の", "  xか\u3099"}, 2, 5)
      .type("\025\033[200~\t\001\033[201~")
      .shows({"> 日本語", "の"}, 2, 6)
      .type("\r");
  EXPECT_EQ(LineEditor(terminal, history).read_line("> ").text, "日本語の\n\t");
}

TEST(LineEditor, ShowsControlCharactersOfTheHistoryAsSigns) {
  FakeTerminal terminal;
  LineHistory history;
  history.add("a\033[31m\177\u009Bb");
  terminal.type(kUp).shows({"> a^[[31m^?\uFFFDb"}, 0, 13).type("\r");
  LineEditor(terminal, history).read_line("> ");
}

TEST(LineEditor, ATextTallerThanTheScreenShowsWhereTheCursorIs) {
  FakeTerminal terminal(10, 3);
  LineHistory history;
  terminal.type("one\\\rtwo\\\rthree\\\rfour")
      .shows({"  two", "  three", "  four"}, 2, 6)
      .type(keys({kUp, kUp}))
      .shows({"  two", "  three", "  four"}, 0, 5)
      .type(kUp)
      .shows({"> one", "  two", "  three"}, 0, 5)
      .type(keys({kDown, kDown, kDown}))
      .shows({"  two", "  three", "  four"}, 2, 5)
      .type("\r");
  LineEditor(terminal, history).read_line("> ");
}

TEST(LineEditor, DrawsBelowWhatStandsThereAndScrolls) {
  FakeTerminal terminal(10, 4);
  LineHistory history;
  terminal.screen.write("1\r\n2\r\n3\r\n");
  terminal.type("abcdefgh")
      .shows({"2", "3", "> abcdefgh"}, 3, 0)
      .type("ij\001")
      .shows({"2", "3", "> abcdefgh", "ij"}, 2, 2)
      .type("\014")
      .shows({"> abcdefgh", "ij"}, 0, 2)
      .type("\r");
  LineEditor(terminal, history).read_line("> ");
}

TEST(LineEditor, FollowsTheWidth) {
  FakeTerminal terminal(10, 5);
  LineHistory history;
  terminal.type("abcdefghijkl").shows({"> abcdefgh", "ijkl"}, 1, 4).look([&] {
    terminal.screen = Screen(7, 5);  // As a terminal wraps it anew, with the cursor at its place.
    terminal.screen.write("> abcdefghijkl \r");
  });
  terminal.event(TerminalInput::Event::kResized)
      .look([] {})
      .shows({"> abcde", "fghijkl"}, 2, 0)
      .type("\r");
  EXPECT_EQ(LineEditor(terminal, history).read_line("> ").text, "abcdefghijkl");
}

TEST(LineEditor, APasteIsDrawnOnce) {
  FakeTerminal terminal(40, 10);
  LineHistory history;
  terminal.look([] {}).type("\033[200~" + std::string(300, 'x') + "\033[201~").look([] {});
  LineEditor(terminal, history).read_line("> ");
  EXPECT_LE(terminal.writes, 5);
}

// Whatever comes: the screen shows what a fresh drawing of the same text would show.
TEST(LineEditor, AnyKeysLeaveTheScreenAsDrawnAnew) {
  const std::vector<std::string> all{
      "a",    "漢",   "é",    " ",    "\033\r", "\177", kLeft,   kRight,  kUp,        kDown,
      "\001", "\005", "\027", "\025", "\013",   "\031", "\033b", "\033f", "か\u3099", "long text "};
  std::uint64_t random = 7;
  for (int round = 0; round < 60; ++round) {
    FakeTerminal terminal(7 + static_cast<std::size_t>(round % 9), 40);
    LineHistory history;
    history.add("old 日本語 line");
    Screen fresh(terminal.screen.columns(), 40);
    for (int i = 0; i < 60; ++i) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      terminal.type(all[(random >> 33) % all.size()]);
      if ((random >> 20) % 3 == 0) terminal.look([] {});
    }
    std::vector<std::string> shown;
    terminal.look([&] { shown = terminal.screen.text(); }).type("\r");
    const EditedLine line = LineEditor(terminal, history).read_line("> ");
    const LineLayout layout = lay_out("> ", line.text, 0, fresh.columns());
    for (const LayoutRow& row : layout.rows)
      fresh.write(row.bytes + (row.wrapped ? " \r" : "\r\n"));
    EXPECT_EQ(shown, fresh.text()) << round;
  }
}

TEST(CharWidth, KnowsWideAndJoiningCharacters) {
  for (const std::uint32_t wide :
       {0x1100u, 0x3042u, 0x30ABu, 0x65E5u, 0xAC00u, 0xFF21u, 0x1F600u, 0x20000u, 0x3000u}) {
    EXPECT_EQ(char_width(wide), 2) << wide;
  }
  for (const std::uint32_t joins : {0x300u, 0x3099u, 0x200Du, 0xFE0Fu, 0x1160u, 0xE0100u}) {
    EXPECT_EQ(char_width(joins), 0) << joins;
  }
  for (const std::uint32_t one :
       {0x20u, 0x41u, 0xADu, 0xE9u, 0x3B1u, 0xFF71u, 0x2026u, 0x10FFFFu, 0x378u}) {
    EXPECT_EQ(char_width(one), 1) << one;
  }
}

TEST(CharWidth, ATerminalIsShownNoControlCharacters) {
  EXPECT_EQ(terminal_text("a\tb\nc"), "a\tb\nc");
  EXPECT_EQ(terminal_text("\033]0;x\007\r\b\177"), "\uFFFD]0;x\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(terminal_text("\u009B31m 日本"), "\uFFFD31m 日本");
  EXPECT_EQ(terminal_text("\x9B\xFF"), "\uFFFD\uFFFD");
}

}  // namespace
}  // namespace tern
