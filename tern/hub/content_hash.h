// The hashes by which the Hub names content: SHA-256, and git's SHA-1 of a blob.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tern::hub {

// Computes the hash that `expected` is one of, by its length: 64 digits are the SHA-256 of the
// bytes, 40 the SHA-1 of "blob SIZE\0" and the bytes, as git names them. `size` is that of the
// whole content. Throws Error(kUnsupported) where the system's OpenSSL refuses the algorithm.
class ContentHash {
 public:
  ContentHash(std::string_view expected, std::uint64_t size);
  ~ContentHash();
  ContentHash(const ContentHash&) = delete;
  ContentHash& operator=(const ContentHash&) = delete;

  void update(std::string_view bytes);
  std::string finish();  // Lower-case hexadecimal; once.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tern::hub
