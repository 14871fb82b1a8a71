// The parser's view of the tokens: looking, taking, expecting, failing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tern/base/error.h"
#include "tern/jinja/lexer.h"

namespace tern::jinja {

class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, std::string_view name)
      : tokens_(std::move(tokens)), name_(name) {}

  const Token& now() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token take() { return now().kind == TokenKind::kEnd ? now() : tokens_[at_++]; }
  int line() const { return now().line; }

  bool is(TokenKind kind) const { return now().kind == kind; }
  bool is_operator(std::string_view text) const { return is_operator(now(), text); }
  bool is_name(std::string_view text) const { return is_name(now(), text); }
  static bool is_operator(const Token& token, std::string_view text) {
    return token.kind == TokenKind::kOperator && token.text == text;
  }
  static bool is_name(const Token& token, std::string_view text) {
    return token.kind == TokenKind::kName && token.text == text;
  }
  bool skip_operator(std::string_view text) { return is_operator(text) && (take(), true); }
  bool skip_name(std::string_view text) { return is_name(text) && (take(), true); }

  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) broken("expected '" + std::string(text) + "'");
  }
  void expect_name(std::string_view text) {
    if (!skip_name(text)) broken("expected '" + std::string(text) + "'");
  }
  Token expect(TokenKind kind, const char* what) {
    if (!is(kind)) broken(std::string("expected ") + what);
    return take();
  }

  // "found X, `what`", at the line of the present token.
  [[noreturn]] void broken(const std::string& what) const {
    fail(ErrorCode::kCorruptFile, "found " + described(now()) + ", " + what);
  }
  [[noreturn]] void fail(ErrorCode code, const std::string& what, int line = 0) const {
    throw Error(code,
                name_ + ": line " + std::to_string(line != 0 ? line : now().line) + ": " + what);
  }

 private:
  static std::string described(const Token& token) {
    switch (token.kind) {
      case TokenKind::kText:
        return "text";
      case TokenKind::kOutputBegin:
        return "'{{'";
      case TokenKind::kOutputEnd:
        return "'}}'";
      case TokenKind::kBlockBegin:
        return "'{%'";
      case TokenKind::kBlockEnd:
        return "'%}'";
      case TokenKind::kEnd:
        return "the template's end";
      case TokenKind::kString:
        return "a string";
      default:
        return "'" + token.text + "'";
    }
  }

  std::vector<Token> tokens_;
  std::string name_;
  std::size_t at_ = 0;
};

}  // namespace tern::jinja
