// Finds added and special tokens in a text, before it is cut into words. Internal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/tokenizer/tokenizer_data.h"

namespace tern::tokenizer {

// A part of a text: an added token, or (no id) text that is still to be encoded.
struct Fragment {
  std::string_view text;
  std::optional<std::uint32_t> id;
};

// Tokens are found from left to right, at each place the longest. Const after construction.
class AddedTokens {
 public:
  void add(const AddedToken& token);
  void finish();  // Call once, after the last add().
  bool empty() const noexcept { return tokens_.empty(); }

  // Cuts `text` into its fragments; special tokens only if `parse_special`. Empty texts are left
  // out.
  void split(std::string_view text, bool parse_special, std::vector<Fragment>& out) const;

 private:
  struct Token {
    std::string content;
    std::uint32_t id = 0;
    bool special = false, lstrip = false, rstrip = false;
  };
  const Token* longest_at(std::string_view text, std::size_t at, bool parse_special) const;

  std::vector<Token> tokens_;                              // By content.
  std::vector<bool> first_byte_ = std::vector<bool>(256);  // Some content begins with this byte.
};

}  // namespace tern::tokenizer
