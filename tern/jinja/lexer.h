// A template's text as tokens, white space already treated as trim_blocks and lstrip_blocks say.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tern/jinja/value.h"

namespace tern::jinja {

enum class TokenKind {
  kText,
  kOutputBegin,
  kOutputEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kNumber,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 0;
  std::string text;  // The text, name, operator, or what a string literal says.
  Value number;
};

// The last token is kEnd. Throws Error(kCorruptFile) for what is no template and
// Error(kUnsupported) for what is not known here, with `name` and the line in front.
std::vector<Token> tokenize(std::string_view source, std::string_view name);

}  // namespace tern::jinja
