// The lines that a person has entered, kept in a file from one run to the next.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

// The file holds one entry a line (a line break as \n, a backslash as \\), the newest last, at most
// kMost; only its owner may read it. Programs that run at once may share it. Not for several
// threads.
class LineHistory {
 public:
  static constexpr std::size_t kMost = 1000;

  LineHistory() = default;  // In memory alone.
  // Reads `file`, which need not be there, nor its folder. Throws Error(kIo).
  explicit LineHistory(std::filesystem::path file);

  // Oldest first.
  const std::vector<std::string>& lines() const noexcept { return lines_; }
  // Keeps `line`, unless it is blank or the same as the last. Throws Error(kIo) where the file
  // cannot be written; in memory it is kept all the same.
  void add(std::string_view line);

 private:
  std::optional<std::filesystem::path> file_;
  std::vector<std::string> lines_;
};

// $XDG_STATE_HOME/tern/history, else ~/.local/state/tern/history; nullopt where neither is known.
std::optional<std::filesystem::path> default_history_file();

}  // namespace tern
