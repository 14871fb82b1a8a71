// Statements: what each writes and which variables it sees.
#include "tern/jinja/renderer.h"

#include <algorithm>
#include <utility>

#include "tern/jinja/builtins.h"
#include "tern/jinja/operators.h"
#include "tern/jinja/python_text.h"

namespace tern::jinja {

void Scope::set(std::string_view name, Value value) {
  for (auto& [known, old] : variables) {
    if (known == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get()) {
    for (const auto& [known, value] : scope->variables) {
      if (known == name) return &value;
    }
  }
  return nullptr;
}

// One statement or expression more that is under way.
class Renderer::Deeper {
 public:
  explicit Deeper(Renderer& renderer) : renderer_(renderer) {
    if (renderer.depth_ == renderer.limits_.depth) {
      renderer.fail("statements and calls are inside each other more than " +
                        std::to_string(renderer.limits_.depth) + " deep",
                    ErrorCode::kLimit);
    }
    ++renderer_.depth_;
  }
  ~Deeper() { --renderer_.depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  Renderer& renderer_;
};

// What is written while it lives goes into `text`.
class Renderer::Captured {
 public:
  explicit Captured(Renderer& renderer)
      : renderer_(renderer), before_(std::exchange(renderer.out_, &text)) {}
  ~Captured() { renderer_.out_ = before_; }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;

  std::string text;

 private:
  Renderer& renderer_;
  std::string* before_;
};

Renderer::Renderer(std::string_view name, const Dict& variables, const Limits& limits,
                   const std::tm& now)
    : name_(name), variables_(variables), limits_(limits), now_(now) {}

// Namespaces and scopes may hold each other in circles: all forget what they hold.
Renderer::~Renderer() {
  for (const auto& made : namespaces_) made->attributes = Dict();
  for (const auto& scope : kept_scopes_) {
    for (Scope* s = scope.get(); s != nullptr; s = s->parent.get()) s->variables.clear();
  }
}

std::string Renderer::run(const Body& body) {
  try {
    const auto top = std::make_shared<Scope>(nullptr);
    Captured captured(*this);
    run_body(body, *top);
    return std::move(captured.text);
  } catch (const Error& e) {
    if (located_) throw;
    throw Error(e.code(), name_ + ": line " + std::to_string(line_) + ": " + e.what());
  }
}

void Renderer::fail(const std::string& what, ErrorCode code) {
  located_ = true;
  throw Error(code, name_ + ": line " + std::to_string(line_) + ": " + what);
}

void Renderer::raise(const std::string& sentence) {
  located_ = true;
  throw Error(ErrorCode::kBadArgument, sentence);
}

void Renderer::step(std::uint64_t count) {
  if (count > limits_.steps - steps_) {
    fail("the template took more than " + std::to_string(limits_.steps) + " steps",
         ErrorCode::kLimit);
  }
  steps_ += count;
}

void Renderer::make_room(std::uint64_t bytes) {
  if (bytes > limits_.output_bytes) {
    fail("a text would be longer than " + std::to_string(limits_.output_bytes) + " bytes",
         ErrorCode::kLimit);
  }
  if (bytes > limits_.text_bytes - bytes_) {
    fail("the template made more than " + std::to_string(limits_.text_bytes) + " bytes of text",
         ErrorCode::kLimit);
  }
  bytes_ += bytes;
}

Value Renderer::text(std::string made) {
  make_room(made.size());
  return Value::text(std::move(made));
}

Value Renderer::texts(std::vector<std::string> made) {
  step(made.size());
  std::vector<Value> all;
  all.reserve(made.size());
  for (std::string& piece : made) all.push_back(text(std::move(piece)));
  return Value::list(std::move(all));
}

void Renderer::write(std::string_view piece) {
  if (piece.size() > limits_.output_bytes - std::min(limits_.output_bytes, out_->size())) {
    fail("the text would be longer than " + std::to_string(limits_.output_bytes) + " bytes",
         ErrorCode::kLimit);
  }
  out_->append(piece);
}

std::vector<Value> Renderer::items(const Value& value) {
  std::vector<Value> all;
  switch (value.kind()) {
    case Kind::kUndefined:
      break;
    case Kind::kString:
      step(value.as_string().size());
      for (std::string& c : characters(value.as_string())) all.push_back(Value::text(std::move(c)));
      break;
    case Kind::kSequence: {
      const Sequence& sequence = value.as_sequence();
      all.assign(sequence.items.begin() + static_cast<std::ptrdiff_t>(sequence.taken),
                 sequence.items.end());
      if (sequence.kind == SequenceKind::kGenerator) sequence.taken = sequence.items.size();
      step(all.size());
      break;
    }
    case Kind::kDict:
      step(value.as_dict().size());
      for (const auto& [key, item] : value.as_dict().entries()) all.push_back(key);
      break;
    default:
      fail("'" + type_name(value) + "' object is not iterable");
  }
  return all;
}

std::shared_ptr<Namespace> Renderer::new_namespace() {
  namespaces_.push_back(std::make_shared<Namespace>());
  return namespaces_.back();
}

Renderer::Flow Renderer::run_body(const Body& body, Scope& scope) {
  for (const auto& statement : body) {
    const Flow flow = run_statement(*statement, scope);
    if (flow != Flow::kOn) return flow;
  }
  return Flow::kOn;
}

Renderer::Flow Renderer::run_statement(const Statement& statement, Scope& scope) {
  const Deeper deeper(*this);
  step();
  line_ = statement.line;
  switch (statement.kind) {
    case StatementKind::kText:
      write(statement.text);
      break;
    case StatementKind::kOutput:
      write(to_text(*this, evaluate(*statement.expr, scope)));
      break;
    case StatementKind::kIf:
      return run_if(statement, scope);
    case StatementKind::kFor: {
      const Value over = evaluate(*statement.expr, scope);
      return run_for(statement, scope.shared_from_this(), over, 0);
    }
    case StatementKind::kSet:
      assign(statement.target, evaluate(*statement.expr, scope), scope);
      break;
    case StatementKind::kSetBlock:
    case StatementKind::kFilterBlock:
      return run_capture(statement, scope);
    case StatementKind::kWith:
      return run_with(statement, scope);
    case StatementKind::kMacro:
      scope.set(statement.macro->name, new_macro(*statement.macro, scope));
      break;
    case StatementKind::kCallBlock:
      run_call_block(statement, scope);
      break;
    case StatementKind::kScope: {
      const auto inner = std::make_shared<Scope>(scope.shared_from_this());
      return run_body(statement.body, *inner);
    }
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kOn;
}

Renderer::Flow Renderer::run_if(const Statement& statement, Scope& scope) {
  for (const auto& [condition, body] : statement.branches) {
    if (truth(evaluate(*condition, scope))) return run_body(body, scope);
  }
  return run_body(statement.orelse, scope);
}

Renderer::Flow Renderer::run_for(const Statement& statement, const std::shared_ptr<Scope>& outside,
                                 const Value& over, std::int64_t depth0) {
  const auto loop = std::make_shared<Loop>(*this, statement, outside, over, depth0);
  struct Closer {
    Loop& loop;
    ~Closer() { loop.close(); }
  } const closer{*loop};
  bool any = false;
  while (loop->advance()) {
    step();
    any = true;
    const auto scope = std::make_shared<Scope>(outside);
    scope->set("loop", Value::object(loop));
    assign(statement.target, loop->current(), *scope);
    if (run_body(statement.body, *scope) == Flow::kBreak) break;
  }
  if (any) return Flow::kOn;
  return run_body(statement.orelse, *std::make_shared<Scope>(outside));
}

std::string Renderer::run_loop(const Statement& statement, const std::shared_ptr<Scope>& outside,
                               const Value& over, std::int64_t depth0) {
  const Deeper deeper(*this);
  Captured captured(*this);
  run_for(statement, outside, over, depth0);
  make_room(captured.text.size());
  return std::move(captured.text);
}

Renderer::Flow Renderer::run_capture(const Statement& statement, Scope& scope) {
  const auto inner = std::make_shared<Scope>(scope.shared_from_this());
  Value made;
  {
    Captured captured(*this);
    const Flow flow = run_body(statement.body, *inner);
    if (flow != Flow::kOn) return flow;
    made = text(std::move(captured.text));
  }
  for (const ExprPtr& one : statement.filters) made = filter(*one, scope, made);
  if (statement.kind == StatementKind::kSetBlock) {
    assign(statement.target, made, scope);
  } else {
    write(to_text(*this, made));
  }
  return Flow::kOn;
}

Renderer::Flow Renderer::run_with(const Statement& statement, Scope& scope) {
  const auto inner = std::make_shared<Scope>(scope.shared_from_this());
  for (std::size_t i = 0; i < statement.targets.size(); ++i) {
    inner->set(statement.targets[i].name, evaluate(*statement.values[i], scope));
  }
  return run_body(statement.body, *inner);
}

Value Renderer::new_macro(const MacroCode& code, Scope& scope) {
  if (kept_scopes_.empty() || kept_scopes_.back().get() != &scope) {
    kept_scopes_.push_back(scope.shared_from_this());
  }
  return Value::object(std::make_shared<Macro>(code, scope));
}

void Renderer::run_call_block(const Statement& statement, Scope& scope) {
  const Expr& expr = *statement.expr;
  const Value function = evaluate(*expr.parts[0], scope);
  Arguments given = arguments(expr, scope);
  given.named.emplace_back("caller", new_macro(*statement.macro, scope));
  line_ = statement.line;
  write(to_text(*this, call(function, given)));
}

void Renderer::assign(const Target& target, const Value& value, Scope& scope) {
  if (!target.attribute.empty()) {
    const Value* found = scope.find(target.name);
    auto* names = found != nullptr && found->kind() == Kind::kObject
                      ? dynamic_cast<Namespace*>(found->as_object().get())
                      : nullptr;
    if (names == nullptr)
      fail("cannot assign an attribute of '" + target.name + "', which is no namespace");
    names->attributes.set(target.attribute, value);
    return;
  }
  if (!target.is_tuple) {
    scope.set(target.name, value);
    return;
  }
  const std::vector<Value> parts = items(value);
  if (parts.size() != target.parts.size()) {
    fail("found " + std::to_string(parts.size()) + " values to unpack, expected " +
         std::to_string(target.parts.size()));
  }
  for (std::size_t i = 0; i < parts.size(); ++i) assign(target.parts[i], parts[i], scope);
}

Value Renderer::call(const Value& function, const Arguments& given) {
  if (function.is_undefined()) fail(function.why());
  if (function.kind() != Kind::kObject)
    fail("'" + type_name(function) + "' object is not callable");
  Object& object = *function.as_object();
  if (const auto* known = dynamic_cast<const Function*>(&object)) return known->call(*this, given);
  if (const auto* method = dynamic_cast<const Method*>(&object)) {
    return method->call(*this, method->self, given);
  }
  if (const auto* macro = dynamic_cast<const Macro*>(&object)) return call_macro(*macro, given);
  if (auto* loop = dynamic_cast<Loop*>(&object)) return loop->recurse(given);
  fail("'" + type_name(function) + "' object is not callable");
}

Value Renderer::call_macro(const Macro& macro, const Arguments& given) {
  const Deeper deeper(*this);
  const auto scope = std::make_shared<Scope>(macro.scope.shared_from_this());
  bind_parameters(macro, given, *scope);
  Captured captured(*this);
  run_body(macro.code.body, *scope);
  return text(std::move(captured.text));
}

void Renderer::bind_parameters(const Macro& macro, const Arguments& given, Scope& scope) {
  const MacroCode& code = macro.code;
  const std::string what = "macro '" + code.name + "'";
  const std::size_t count = code.parameters.size();
  std::vector<bool> used(given.named.size(), false);
  const auto take = [&](std::string_view wanted) -> const Value* {
    for (std::size_t i = 0; i < given.named.size(); ++i) {
      if (given.named[i].first != wanted || used[i]) continue;
      used[i] = true;
      return &given.named[i].second;
    }
    return nullptr;
  };
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& parameter = code.parameters[i];
    const std::size_t first_default = count - code.defaults.size();
    if (i < given.values.size()) {
      scope.set(parameter, given.values[i]);
    } else if (const Value* value = take(parameter)) {
      scope.set(parameter, *value);
    } else if (i >= first_default) {
      scope.set(parameter, evaluate(*code.defaults[i - first_default], scope));
    } else {
      scope.set(parameter, Value::undefined("parameter '" + parameter + "' was not provided"));
    }
  }
  if (code.takes_caller && std::ranges::find(code.parameters, "caller") == code.parameters.end()) {
    const Value* caller = take("caller");
    scope.set("caller", caller != nullptr ? *caller : Value::undefined("No caller defined"));
  }
  Dict rest;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    if (!code.takes_named) fail(what + " takes no keyword argument '" + given.named[i].first + "'");
    rest.set(given.named[i].first, given.named[i].second);
  }
  if (code.takes_named) scope.set("kwargs", Value::dict(std::move(rest)));
  std::vector<Value> more;
  if (given.values.size() > count) {
    more.assign(given.values.begin() + static_cast<std::ptrdiff_t>(count), given.values.end());
    if (!code.takes_rest) {
      fail(what + " takes not more than " + std::to_string(count) + " argument(s)");
    }
  }
  if (code.takes_rest) {
    scope.set("varargs", Value::sequence(SequenceKind::kTuple, std::move(more)));
  }
}

Value Renderer::evaluate(const Expr& expr, Scope& scope) {
  const Deeper deeper(*this);
  step();
  line_ = expr.line != 0 ? expr.line : line_;
  return evaluate_kind(expr, scope);
}

}  // namespace tern::jinja
