// How a library that prints nothing still tells its user things: sinks given by the caller.
#pragma once

#include <functional>
#include <string_view>

namespace tern {

// Takes one sentence that a person should read although nothing failed ("scale rounded to f16").
// Called on the caller's thread. An empty function drops them.
using Notice = std::function<void(std::string_view sentence)>;

// Takes the share done (0 to 1) of a long step. Called on the caller's thread.
using Progress = std::function<void(std::string_view step, double done)>;

inline void notify(const Notice& notice, std::string_view sentence) {
  if (notice) notice(sentence);
}

}  // namespace tern
