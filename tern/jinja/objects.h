// Values that are more than data: namespaces, macros, functions, methods and the variable `loop`.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/jinja/syntax.h"
#include "tern/jinja/value.h"

namespace tern::jinja {

class Renderer;

// What a call gives, by place and by name.
struct Arguments {
  std::vector<Value> values;
  std::vector<std::pair<std::string, Value>> named;
};

struct Object {
  virtual ~Object() = default;
  virtual std::string_view type_name() const = 0;
  std::size_t depth = 0;  // As of a list that holds what this holds.
};

// The variables of a part of a template. Names are views into the template's tree.
struct Scope : std::enable_shared_from_this<Scope> {
  explicit Scope(std::shared_ptr<Scope> outside) : parent(std::move(outside)) {}
  void set(std::string_view name, Value value);
  const Value* find(std::string_view name) const;  // Here or outside; nullptr where there is none.

  std::shared_ptr<Scope> parent;
  std::vector<std::pair<std::string_view, Value>> variables;
};

struct Namespace : Object {
  std::string_view type_name() const override { return "jinja2.utils.Namespace"; }
  Dict attributes;
};

struct Function : Object {
  using Call = Value (*)(Renderer&, const Arguments&);
  explicit Function(Call function) : call(function) {}
  std::string_view type_name() const override { return "function"; }
  Call call;
};

struct Method : Object {
  using Call = Value (*)(Renderer&, const Value& self, const Arguments&);
  Method(Value of, Call function) : self(std::move(of)), call(function) {
    depth = self.depth() + 1;
  }
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  Value self;
  Call call;
};

struct Macro : Object {
  Macro(const MacroCode& its_code, Scope& its_scope) : code(its_code), scope(its_scope) {}
  std::string_view type_name() const override { return "Macro"; }
  const MacroCode& code;
  Scope& scope;  // Where it was defined; the renderer keeps it.
};

// One loop under way. Elements are taken one at a time and a filter (`for … if …`) is asked as late
// as Jinja2 asks it, because the body may change what it sees.
class Loop : public Object {
 public:
  // `statement` and `outside` outlive close(). Throws for a value that cannot be walked.
  Loop(Renderer& renderer, const Statement& statement, std::shared_ptr<Scope> outside,
       const Value& over, std::int64_t depth0);
  std::string_view type_name() const override { return "LoopContext"; }

  bool advance();  // To the next element; false where there is none.
  const Value& current() const { return current_; }
  void close();  // The loop is over: forgets all that could hold itself.

  Value attribute(std::string_view name);  // Undefined for a name that a loop does not have.
  Value cycle(const Arguments& arguments);
  Value changed(const Arguments& arguments);
  Value recurse(const Arguments& arguments);  // loop(...)

 private:
  std::optional<Value> pull();
  std::size_t length();
  const std::optional<Value>& peek();

  Renderer& renderer_;
  const Statement* statement_;  // nullptr after close().
  std::shared_ptr<Scope> outside_;
  Value over_;  // A generator that is being walked, else undefined.
  std::vector<Value> items_;
  std::size_t next_ = 0;
  bool lazy_;  // The length is known only when all are taken.
  bool peeked_ = false;
  std::optional<Value> after_;
  std::optional<std::size_t> length_;
  Value current_, before_;
  std::optional<Value> last_changed_;
  std::int64_t index0_ = -1;
  std::int64_t depth0_;
};

}  // namespace tern::jinja
