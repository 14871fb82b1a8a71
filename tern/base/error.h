// One exception type for everything that a user, a file or a machine can get wrong.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace tern {

enum class ErrorCode {
  kBadArgument,  // A flag, a request or an API call is wrong.
  kIo,           // The operating system said no.
  kCorruptFile,  // A file contradicts itself or its format.
  kUnsupported,  // Understood, but not something that tern can do (here).
  kLimit,        // Does not fit: the context is full, a token id out of range, memory.
};

// Thrown where the fault is found; caught only in main(), at the C API, in the server's request
// handler and in the fuzzers. `what()` is one sentence that names the thing, what was found and
// what was expected.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& what) : std::runtime_error(what), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

// The same error with `where` in front, as in "model.gguf: tensor 'blk.0.attn_q.weight': ...".
inline Error with_context(std::string_view where, const Error& e) {
  return Error(e.code(), std::string(where) + ": " + e.what());
}

}  // namespace tern
