// `tern run` without a text to go on from: a conversation.
#pragma once

#include "tern/cli/run_options.h"

namespace tern::cli {

// Opens the model and talks until the input ends. Answers go to stdout, all else to stderr. Returns
// the exit status. Throws what opening throws; what goes wrong later is said where somebody types,
// and thrown where lines come from a pipe.
int run_chat(const RunOptions& options);

}  // namespace tern::cli
