// Expressions of a template, by Jinja2's grammar.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tern/jinja/syntax.h"
#include "tern/jinja/token_stream.h"

namespace tern::jinja {

// How deep what is being parsed nests; an object of Nesting::Level is one level.
class Nesting {
 public:
  class Level {
   public:
    Level(Nesting& nesting, const TokenStream& stream) : nesting_(nesting) {
      if (++nesting_.depth_ > kMaxTreeDepth) {
        --nesting_.depth_;
        stream.fail(ErrorCode::kLimit,
                    "nested deeper than " + std::to_string(kMaxTreeDepth) + " levels");
      }
    }
    ~Level() { --nesting_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Nesting& nesting_;
  };

 private:
  int depth_ = 0;
};

class ExpressionParser {
 public:
  ExpressionParser(TokenStream& stream, Nesting& nesting) : stream_(stream), nesting_(nesting) {}

  ExprPtr expression(bool with_condition = true);
  // Expressions with commas between them are a tuple, which may be empty only in parentheses.
  ExprPtr tuple(bool with_condition, bool in_parentheses = false);
  Target assign_target(bool with_namespace);
  std::string plain_name();  // A name that something may be assigned to.
  // `| name(...) | ...` as nodes without input; `inline_start`: the first has no bar.
  std::vector<ExprPtr> filters(bool inline_start);

  // Macros whose body is being parsed: those names that they speak of are noted in each.
  std::vector<MacroCode*> open_macros;

 private:
  using Maker = std::unique_ptr<Expr>;
  Maker make(ExprKind kind, int line) const;
  ExprPtr done(Maker node) const;  // Its depth counted.
  ExprPtr two(ExprKind kind, int line, ExprPtr left, ExprPtr right) const;
  ExprPtr binary(Operator op, int line, ExprPtr left, ExprPtr right) const;

  ExprPtr condition();
  ExprPtr disjunction();
  ExprPtr conjunction();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filter);
  ExprPtr primary();
  ExprPtr name_or_constant();
  ExprPtr list();
  ExprPtr dict();
  ExprPtr postfix(ExprPtr node);
  ExprPtr filter_chain(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr slice_or_item(ExprPtr node, int line);
  ExprPtr call(ExprPtr node);
  void arguments(Expr& node);
  ExprPtr filter(ExprPtr node);
  ExprPtr test(ExprPtr node);
  Target target_of(const Expr& expr) const;

  TokenStream& stream_;
  Nesting& nesting_;
};

}  // namespace tern::jinja
