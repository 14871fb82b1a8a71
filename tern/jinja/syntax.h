// A parsed template: what the parser makes and the renderer walks.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tern/jinja/value.h"

namespace tern::jinja {

// A tree is at most this deep, so that walking and freeing it cannot exhaust the stack.
inline constexpr int kMaxTreeDepth = 200;

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;
class Renderer;
struct Arguments;
using FilterFunction = Value (*)(Renderer&, const Value& input, const Arguments& arguments);
using TestFunction = bool (*)(Renderer&, const Value& input, const Arguments& arguments);

enum class ExprKind {
  kConstant,   // constant
  kName,       // name
  kTuple,      // parts
  kList,       // parts
  kDict,       // parts: key, value, key, value ...
  kAttribute,  // parts[0].name
  kItem,       // parts[0][parts[1]]
  kSlice,      // parts[0][parts[1]:parts[2]:parts[3]], each but the first may be missing
  kCall,       // parts[0](parts[1], ..., named)
  kFilter,     // parts[0] | name(parts[1], ..., named)
  kTest,       // parts[0] is name(parts[1], ..., named)
  kNot,        // parts[0]
  kNegate,     // parts[0]
  kPlus,       // parts[0]
  kAnd,        // parts[0], parts[1]
  kOr,         // parts[0], parts[1]
  kCondition,  // parts[1] if parts[0] else parts[2], which may be missing
  kConcat,     // parts, by ~
  kBinary,     // parts[0] op parts[1]
  kCompare,    // parts[0] ops[0] parts[1] ops[1] parts[2] ...
};

enum class Operator {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  int line = 0;
  int depth = 1;  // Of the tree below, this node counted.
  std::string name;
  Value constant;
  Operator op = Operator::kAdd;
  std::vector<Operator> ops;
  std::vector<ExprPtr> parts;
  std::vector<std::pair<std::string, ExprPtr>> named;  // Arguments given by name.
  FilterFunction filter = nullptr;
  TestFunction test = nullptr;
};

// A name, a tuple of targets, or an attribute of a namespace.
struct Target {
  std::string name;
  std::string attribute;      // Not empty: name.attribute.
  std::vector<Target> parts;  // Of a tuple.
  bool is_tuple = false;
};

struct Statement;
using Body = std::vector<std::unique_ptr<const Statement>>;

// A macro or the body of a call block.
struct MacroCode {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // Of the last parameters.
  Body body;
  bool takes_caller = false;  // Its body speaks of `caller`.
  bool takes_rest = false;    // ... of `varargs`.
  bool takes_named = false;   // ... of `kwargs`.
};

enum class StatementKind {
  kText,         // text
  kOutput,       // expr
  kIf,           // branches; orelse
  kFor,          // target, expr, test, body, orelse, recursive
  kSet,          // target, expr
  kSetBlock,     // target, filters, body
  kWith,         // targets and values, body
  kMacro,        // macro
  kCallBlock,    // expr (a call), macro
  kFilterBlock,  // filters, body
  kScope,        // body, whose variables end with it ({% generation %})
  kBreak,
  kContinue,
};

struct Statement {
  StatementKind kind = StatementKind::kText;
  int line = 0;
  std::string text;
  ExprPtr expr, test;
  Target target;
  std::vector<Target> targets;
  std::vector<ExprPtr> values;
  std::vector<ExprPtr> filters;  // kFilter without parts[0], the innermost first.
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body body, orelse;
  bool recursive = false;
  std::unique_ptr<const MacroCode> macro;
};

}  // namespace tern::jinja
