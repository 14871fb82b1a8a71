// Expressions: each kind of node and its value.
#include <utility>

#include "tern/jinja/builtins.h"
#include "tern/jinja/operators.h"
#include "tern/jinja/renderer.h"

namespace tern::jinja {

Value Renderer::evaluate_kind(const Expr& expr, Scope& scope) {
  const auto part = [&](std::size_t i) {
    return expr.parts[i] ? evaluate(*expr.parts[i], scope) : Value::none();
  };
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
      return name(expr, scope);
    case ExprKind::kTuple:
      return Value::sequence(SequenceKind::kTuple, values(expr.parts, 0, scope));
    case ExprKind::kList:
      return Value::list(values(expr.parts, 0, scope));
    case ExprKind::kDict:
      return dict(expr, scope);
    case ExprKind::kAttribute:
      return attribute(*this, part(0), expr.name);
    case ExprKind::kItem: {
      const Value object = part(0);
      return element(*this, object, part(1));
    }
    case ExprKind::kSlice: {
      const Value object = part(0);
      const Value start = part(1);
      const Value stop = part(2);
      return slice(*this, object, start, stop, part(3));
    }
    case ExprKind::kCall:
      return call_expr(expr, scope);
    case ExprKind::kFilter:
      return filter(expr, scope, part(0));
    case ExprKind::kTest: {
      const Value input = part(0);
      const Arguments given = arguments(expr, scope);
      line_ = expr.line;
      return Value::boolean(expr.test(*this, input, given));
    }
    case ExprKind::kNot:
      return Value::boolean(!truth(part(0)));
    case ExprKind::kNegate:
      return negative(*this, part(0));
    case ExprKind::kPlus:
      return positive(*this, part(0));
    case ExprKind::kAnd: {
      const Value left = part(0);
      return truth(left) ? part(1) : left;
    }
    case ExprKind::kOr: {
      const Value left = part(0);
      return truth(left) ? left : part(1);
    }
    case ExprKind::kCondition:
      if (truth(part(0))) return part(1);
      if (expr.parts[2]) return part(2);
      return Value::undefined("the inline if-expression on line " + std::to_string(expr.line) +
                              " evaluated to false and no else section was defined");
    case ExprKind::kConcat:
      return concat(expr, scope);
    case ExprKind::kBinary: {
      const Value left = part(0);
      const Value right = part(1);
      line_ = expr.line;
      return arithmetic(*this, expr.op, left, right);
    }
    case ExprKind::kCompare:
      return compare(expr, scope);
  }
  return {};
}

Value Renderer::name(const Expr& expr, Scope& scope) {
  if (const Value* found = scope.find(expr.name)) return *found;
  if (const Value* found = variables_.find(expr.name)) return *found;
  if (auto global = find_global(expr.name)) return *global;
  for (const std::string_view unknown : {"lipsum", "cycler", "joiner"}) {
    if (expr.name == unknown) {
      fail("the function '" + expr.name + "' is not known", ErrorCode::kUnsupported);
    }
  }
  return Value::undefined("'" + expr.name + "' is undefined");
}

Value Renderer::dict(const Expr& expr, Scope& scope) {
  Dict made;
  for (std::size_t i = 0; i < expr.parts.size(); i += 2) {
    const Value key = evaluate(*expr.parts[i], scope);
    Value value = evaluate(*expr.parts[i + 1], scope);
    if (!Dict::can_be_key(key)) {
      fail("a key of the type '" + type_name(key) + "' is not known", ErrorCode::kUnsupported);
    }
    made.set(key, std::move(value));
  }
  return Value::dict(std::move(made));
}

Value Renderer::concat(const Expr& expr, Scope& scope) {
  std::string whole;
  for (const ExprPtr& one : expr.parts) {
    const Value value = evaluate(*one, scope);
    const std::string piece = to_text(*this, value);
    make_room(whole.size() + piece.size());
    whole += piece;
  }
  return Value::text(std::move(whole));
}

Value Renderer::compare(const Expr& expr, Scope& scope) {
  Value left = evaluate(*expr.parts[0], scope);
  for (std::size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = evaluate(*expr.parts[i + 1], scope);
    line_ = expr.line;
    if (!compare_by(*this, expr.ops[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Renderer::call_expr(const Expr& expr, Scope& scope) {
  const Value function = evaluate(*expr.parts[0], scope);
  const Arguments given = arguments(expr, scope);
  line_ = expr.line;
  return call(function, given);
}

Value Renderer::filter(const Expr& expr, Scope& scope, const Value& input) {
  const Arguments given = arguments(expr, scope);
  line_ = expr.line;
  return expr.filter(*this, input, given);
}

std::vector<Value> Renderer::values(const std::vector<ExprPtr>& parts, std::size_t from,
                                    Scope& scope) {
  std::vector<Value> all;
  for (std::size_t i = from; i < parts.size(); ++i) all.push_back(evaluate(*parts[i], scope));
  return all;
}

// Of a call, filter or test: parts[0] is what is called.
Arguments Renderer::arguments(const Expr& expr, Scope& scope) {
  Arguments given;
  given.values = values(expr.parts, 1, scope);
  for (const auto& [its_name, value] : expr.named) {
    given.named.emplace_back(its_name, evaluate(*value, scope));
  }
  return given;
}

}  // namespace tern::jinja
