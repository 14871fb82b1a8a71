// Walks a template's tree and writes its text. One object renders once.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/error.h"
#include "tern/jinja/limits.h"
#include "tern/jinja/objects.h"
#include "tern/jinja/syntax.h"
#include "tern/jinja/value.h"

namespace tern::jinja {

class Renderer {
 public:
  // All of these outlive it.
  Renderer(std::string_view name, const Dict& variables, const Limits& limits, const std::tm& now);
  ~Renderer();
  Renderer(const Renderer&) = delete;
  Renderer& operator=(const Renderer&) = delete;

  std::string run(const Body& body);

  // For the functions, filters and operators. fail() throws an Error that begins with the
  // template's name and the line.
  [[noreturn]] void fail(const std::string& what, ErrorCode code = ErrorCode::kBadArgument);
  [[noreturn]] void raise(const std::string& sentence);  // Throws just this sentence.
  void step(std::uint64_t count = 1);                    // Counts against the limits.
  void make_room(std::uint64_t bytes);                   // Before a text of so many is made.
  Value text(std::string made);                          // A text that an operation made, counted.
  Value texts(std::vector<std::string> made);            // A list of them.
  const std::tm& now() const { return now_; }

  // The elements of what can be walked; takes those of a generator.
  std::vector<Value> items(const Value& value);
  Value call(const Value& function, const Arguments& arguments);
  std::shared_ptr<Namespace> new_namespace();

  // For Loop.
  Value evaluate(const Expr& expr, Scope& scope);
  void assign(const Target& target, const Value& value, Scope& scope);
  std::string run_loop(const Statement& statement, const std::shared_ptr<Scope>& outside,
                       const Value& over, std::int64_t depth0);

 private:
  enum class Flow { kOn, kBreak, kContinue };
  class Deeper;
  class Captured;

  Flow run_body(const Body& body, Scope& scope);
  Flow run_statement(const Statement& statement, Scope& scope);
  Flow run_if(const Statement& statement, Scope& scope);
  Flow run_for(const Statement& statement, const std::shared_ptr<Scope>& outside, const Value& over,
               std::int64_t depth0);
  Flow run_capture(const Statement& statement, Scope& scope);  // A set block or a filter block.
  Flow run_with(const Statement& statement, Scope& scope);
  void run_call_block(const Statement& statement, Scope& scope);
  void write(std::string_view piece);
  Value new_macro(const MacroCode& code, Scope& scope);

  Value evaluate_kind(const Expr& expr, Scope& scope);
  Value name(const Expr& expr, Scope& scope);
  Value dict(const Expr& expr, Scope& scope);
  Value concat(const Expr& expr, Scope& scope);
  Value compare(const Expr& expr, Scope& scope);
  Value call_expr(const Expr& expr, Scope& scope);
  Value filter(const Expr& expr, Scope& scope, const Value& input);
  std::vector<Value> values(const std::vector<ExprPtr>& parts, std::size_t from, Scope& scope);
  Arguments arguments(const Expr& expr, Scope& scope);
  Value call_macro(const Macro& macro, const Arguments& arguments);
  void bind_parameters(const Macro& macro, const Arguments& arguments, Scope& scope);

  std::string name_;
  const Dict& variables_;
  Limits limits_;
  const std::tm& now_;
  std::string* out_ = nullptr;
  std::uint64_t steps_ = 0;
  std::uint64_t bytes_ = 0;
  std::size_t depth_ = 0;
  int line_ = 1;
  bool located_ = false;                                // The error under way says where.
  std::vector<std::shared_ptr<Namespace>> namespaces_;  // May hold each other in circles.
  std::vector<std::shared_ptr<Scope>> kept_scopes_;     // Of macros.
};

}  // namespace tern::jinja
