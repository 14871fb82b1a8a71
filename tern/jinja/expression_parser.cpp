// Expressions: each function is one level of Jinja2's precedence, the loosest first.
#include "tern/jinja/expression_parser.h"

#include <algorithm>
#include <span>
#include <utility>

#include "tern/jinja/builtins.h"

namespace tern::jinja {
namespace {

struct OperatorName {
  std::string_view text;
  Operator op;
};

constexpr OperatorName kComparisons[] = {
    {"==", Operator::kEqual},        {"!=", Operator::kNotEqual}, {"<=", Operator::kLessEqual},
    {">=", Operator::kGreaterEqual}, {"<", Operator::kLess},      {">", Operator::kGreater}};
constexpr OperatorName kSums[] = {{"+", Operator::kAdd}, {"-", Operator::kSubtract}};
constexpr OperatorName kProducts[] = {{"*", Operator::kMultiply},
                                      {"/", Operator::kDivide},
                                      {"//", Operator::kFloorDivide},
                                      {"%", Operator::kModulo}};

const OperatorName* find_operator(std::span<const OperatorName> names, const Token& token) {
  if (token.kind != TokenKind::kOperator) return nullptr;
  const auto found = std::ranges::find(names, token.text, &OperatorName::text);
  return found == names.end() ? nullptr : &*found;
}

}  // namespace

ExpressionParser::Maker ExpressionParser::make(ExprKind kind, int line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

ExprPtr ExpressionParser::done(Maker node) const {
  int below = 0;
  for (const ExprPtr& part : node->parts) below = std::max(below, part ? part->depth : 0);
  for (const auto& [name, part] : node->named) below = std::max(below, part->depth);
  node->depth = below + 1;
  if (node->depth > kMaxTreeDepth) {
    stream_.fail(ErrorCode::kLimit, "an expression of more than " + std::to_string(kMaxTreeDepth) +
                                        " steps inside each other");
  }
  return node;
}

ExprPtr ExpressionParser::two(ExprKind kind, int line, ExprPtr left, ExprPtr right) const {
  Maker node = make(kind, line);
  node->parts.push_back(std::move(left));
  node->parts.push_back(std::move(right));
  return done(std::move(node));
}

ExprPtr ExpressionParser::binary(Operator op, int line, ExprPtr left, ExprPtr right) const {
  Maker node = make(ExprKind::kBinary, line);
  node->op = op;
  node->parts.push_back(std::move(left));
  node->parts.push_back(std::move(right));
  return done(std::move(node));
}

ExprPtr ExpressionParser::expression(bool with_condition) {
  return with_condition ? condition() : disjunction();
}

ExprPtr ExpressionParser::condition() {
  const Nesting::Level level(nesting_, stream_);
  int line = stream_.line();
  ExprPtr node = disjunction();
  while (stream_.skip_name("if")) {
    Maker made = make(ExprKind::kCondition, line);
    made->parts.push_back(disjunction());
    made->parts.push_back(std::move(node));
    made->parts.push_back(stream_.skip_name("else") ? condition() : nullptr);
    node = done(std::move(made));
    line = stream_.line();
  }
  return node;
}

ExprPtr ExpressionParser::disjunction() {
  const int line = stream_.line();
  ExprPtr node = conjunction();
  while (stream_.skip_name("or")) node = two(ExprKind::kOr, line, std::move(node), conjunction());
  return node;
}

ExprPtr ExpressionParser::conjunction() {
  const int line = stream_.line();
  ExprPtr node = negation();
  while (stream_.skip_name("and")) node = two(ExprKind::kAnd, line, std::move(node), negation());
  return node;
}

ExprPtr ExpressionParser::negation() {
  if (!stream_.is_name("not")) return comparison();
  const Nesting::Level level(nesting_, stream_);
  Maker node = make(ExprKind::kNot, stream_.take().line);
  node->parts.push_back(negation());
  return done(std::move(node));
}

ExprPtr ExpressionParser::comparison() {
  Maker node = make(ExprKind::kCompare, stream_.line());
  node->parts.push_back(sum());
  while (true) {
    if (const OperatorName* found = find_operator(kComparisons, stream_.now())) {
      stream_.take();
      node->ops.push_back(found->op);
    } else if (stream_.skip_name("in")) {
      node->ops.push_back(Operator::kIn);
    } else if (stream_.is_name("not") && TokenStream::is_name(stream_.ahead(), "in")) {
      stream_.take();
      stream_.take();
      node->ops.push_back(Operator::kNotIn);
    } else {
      break;
    }
    node->parts.push_back(sum());
  }
  return node->ops.empty() ? std::move(node->parts[0]) : done(std::move(node));
}

ExprPtr ExpressionParser::sum() {
  const int line = stream_.line();
  ExprPtr node = concatenation();
  while (const OperatorName* found = find_operator(kSums, stream_.now())) {
    stream_.take();
    node = binary(found->op, line, std::move(node), concatenation());
  }
  return node;
}

ExprPtr ExpressionParser::concatenation() {
  Maker node = make(ExprKind::kConcat, stream_.line());
  node->parts.push_back(product());
  while (stream_.skip_operator("~")) node->parts.push_back(product());
  return node->parts.size() == 1 ? std::move(node->parts[0]) : done(std::move(node));
}

ExprPtr ExpressionParser::product() {
  const int line = stream_.line();
  ExprPtr node = power();
  while (const OperatorName* found = find_operator(kProducts, stream_.now())) {
    stream_.take();
    node = binary(found->op, line, std::move(node), power());
  }
  return node;
}

ExprPtr ExpressionParser::power() {
  const int line = stream_.line();
  ExprPtr node = unary(true);
  while (stream_.skip_operator("**")) {
    node = binary(Operator::kPower, line, std::move(node), unary(true));
  }
  return node;
}

ExprPtr ExpressionParser::unary(bool with_filter) {
  const Nesting::Level level(nesting_, stream_);
  ExprPtr node;
  if (stream_.is_operator("-") || stream_.is_operator("+")) {
    const Token sign = stream_.take();
    Maker made = make(sign.text == "-" ? ExprKind::kNegate : ExprKind::kPlus, sign.line);
    made->parts.push_back(unary(false));
    node = done(std::move(made));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filter ? filter_chain(std::move(node)) : std::move(node);
}

ExprPtr ExpressionParser::name_or_constant() {
  const Token token = stream_.take();
  const std::string& name = token.text;
  Maker node = make(ExprKind::kConstant, token.line);
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    node->constant = Value::boolean(name == "true" || name == "True");
  } else if (name == "none" || name == "None") {
    node->constant = Value::none();
  } else {
    node->kind = ExprKind::kName;
    node->name = name;
    for (MacroCode* macro : open_macros) {
      if (name == "caller") macro->takes_caller = true;
      if (name == "varargs") macro->takes_rest = true;
      if (name == "kwargs") macro->takes_named = true;
    }
  }
  return node;
}

ExprPtr ExpressionParser::primary() {
  if (stream_.is(TokenKind::kName)) return name_or_constant();
  if (stream_.is_operator("[")) return list();
  if (stream_.is_operator("{")) return dict();
  if (stream_.skip_operator("(")) {
    ExprPtr node = tuple(true, true);
    stream_.expect_operator(")");
    return node;
  }
  Maker node = make(ExprKind::kConstant, stream_.line());
  if (stream_.is(TokenKind::kNumber)) {
    node->constant = stream_.take().number;
    return node;
  }
  if (!stream_.is(TokenKind::kString)) stream_.broken("expected an expression");
  std::string text;
  while (stream_.is(TokenKind::kString)) text += stream_.take().text;
  node->constant = Value::text(std::move(text));
  return node;
}

ExprPtr ExpressionParser::tuple(bool with_condition, bool in_parentheses) {
  Maker node = make(ExprKind::kTuple, stream_.line());
  bool is_tuple = false;
  const auto at_end = [&] {
    return stream_.is(TokenKind::kOutputEnd) || stream_.is(TokenKind::kBlockEnd) ||
           stream_.is_operator(")");
  };
  while (!at_end()) {
    node->parts.push_back(expression(with_condition));
    if (!stream_.skip_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return done(std::move(node));
  if (!node->parts.empty()) return std::move(node->parts[0]);
  if (!in_parentheses) stream_.broken("expected an expression");
  return node;
}

ExprPtr ExpressionParser::list() {
  Maker node = make(ExprKind::kList, stream_.take().line);
  while (!stream_.is_operator("]")) {
    node->parts.push_back(expression());
    if (!stream_.skip_operator(",")) break;
  }
  stream_.expect_operator("]");
  return done(std::move(node));
}

ExprPtr ExpressionParser::dict() {
  Maker node = make(ExprKind::kDict, stream_.take().line);
  while (!stream_.is_operator("}")) {
    node->parts.push_back(expression());
    stream_.expect_operator(":");
    node->parts.push_back(expression());
    if (!stream_.skip_operator(",")) break;
  }
  stream_.expect_operator("}");
  return done(std::move(node));
}

ExprPtr ExpressionParser::postfix(ExprPtr node) {
  while (true) {
    if (stream_.is_operator(".") || stream_.is_operator("[")) {
      node = subscript(std::move(node));
    } else if (stream_.is_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::filter_chain(ExprPtr node) {
  while (true) {
    if (stream_.skip_operator("|")) {
      node = filter(std::move(node));
    } else if (stream_.is_name("is")) {
      node = test(std::move(node));
    } else if (stream_.is_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr node) {
  const Token open = stream_.take();
  if (open.text == "[") return slice_or_item(std::move(node), open.line);
  if (stream_.is(TokenKind::kName)) {
    Maker made = make(ExprKind::kAttribute, open.line);
    made->name = stream_.take().text;
    made->parts.push_back(std::move(node));
    return done(std::move(made));
  }
  if (!stream_.is(TokenKind::kNumber) || stream_.now().number.kind() != Kind::kInt) {
    stream_.broken("expected a name or a whole number after '.'");
  }
  Maker index = make(ExprKind::kConstant, stream_.line());
  index->constant = stream_.take().number;
  return two(ExprKind::kItem, open.line, std::move(node), std::move(index));
}

ExprPtr ExpressionParser::slice_or_item(ExprPtr node, int line) {
  const auto bound = [this]() -> ExprPtr {
    return stream_.is_operator(":") || stream_.is_operator("]") ? nullptr : expression();
  };
  ExprPtr first = bound();
  if (!stream_.skip_operator(":")) {
    if (!first) stream_.broken("expected a subscript");
    if (stream_.is_operator(",")) {
      stream_.fail(ErrorCode::kUnsupported, "a subscript of several parts is not known");
    }
    stream_.expect_operator("]");
    return two(ExprKind::kItem, line, std::move(node), std::move(first));
  }
  Maker made = make(ExprKind::kSlice, line);
  made->parts.push_back(std::move(node));
  made->parts.push_back(std::move(first));
  made->parts.push_back(bound());
  made->parts.push_back(stream_.skip_operator(":") ? bound() : nullptr);
  stream_.expect_operator("]");
  return done(std::move(made));
}

void ExpressionParser::arguments(Expr& node) {
  stream_.expect_operator("(");
  while (!stream_.is_operator(")")) {
    if (stream_.is_operator("*") || stream_.is_operator("**")) {
      stream_.fail(ErrorCode::kUnsupported,
                   "arguments unpacked by '" + stream_.now().text + "' are not known");
    }
    if (stream_.is(TokenKind::kName) && TokenStream::is_operator(stream_.ahead(), "=")) {
      std::string name = stream_.take().text;
      stream_.take();
      for (const auto& [other, value] : node.named) {
        if (other == name) stream_.broken("the argument '" + name + "' is given twice");
      }
      ExprPtr value = expression();
      node.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (!node.named.empty()) {
        stream_.broken("expected 'name=', as in the arguments before it");
      }
      node.parts.push_back(expression());
    }
    if (!stream_.skip_operator(",")) break;
  }
  stream_.expect_operator(")");
}

ExprPtr ExpressionParser::call(ExprPtr node) {
  Maker made = make(ExprKind::kCall, stream_.line());
  made->parts.push_back(std::move(node));
  arguments(*made);
  return done(std::move(made));
}

ExprPtr ExpressionParser::filter(ExprPtr node) {
  Maker made = make(ExprKind::kFilter, stream_.line());
  made->name = stream_.expect(TokenKind::kName, "the name of a filter").text;
  while (stream_.skip_operator(".")) {
    made->name += "." + stream_.expect(TokenKind::kName, "the name of a filter").text;
  }
  made->filter = find_filter(made->name);
  if (made->filter == nullptr) {
    stream_.fail(ErrorCode::kUnsupported, "the filter '" + made->name + "' is not known",
                 made->line);
  }
  made->parts.push_back(std::move(node));
  if (stream_.is_operator("(")) arguments(*made);
  return done(std::move(made));
}

std::vector<ExprPtr> ExpressionParser::filters(bool inline_start) {
  std::vector<ExprPtr> chain;
  while (inline_start || stream_.skip_operator("|")) {
    chain.push_back(filter(nullptr));
    inline_start = false;
  }
  return chain;
}

ExprPtr ExpressionParser::test(ExprPtr node) {
  const int line = stream_.take().line;  // is
  const bool negated = stream_.skip_name("not");
  Maker made = make(ExprKind::kTest, line);
  made->name = stream_.expect(TokenKind::kName, "the name of a test").text;
  made->test = find_test(made->name);
  if (made->test == nullptr) {
    stream_.fail(ErrorCode::kUnsupported, "the test '" + made->name + "' is not known", line);
  }
  made->parts.push_back(std::move(node));
  const Token& next = stream_.now();
  const bool has_value = next.kind == TokenKind::kName || next.kind == TokenKind::kString ||
                         next.kind == TokenKind::kNumber || stream_.is_operator("[") ||
                         stream_.is_operator("{");
  if (stream_.is_operator("(")) {
    arguments(*made);
  } else if (has_value && !stream_.is_name("else") && !stream_.is_name("or") &&
             !stream_.is_name("and")) {
    if (stream_.is_name("is")) stream_.broken("one test cannot follow another");
    made->parts.push_back(postfix(primary()));
  }
  ExprPtr whole = done(std::move(made));
  if (!negated) return whole;
  Maker inverse = make(ExprKind::kNot, line);
  inverse->parts.push_back(std::move(whole));
  return done(std::move(inverse));
}

std::string ExpressionParser::plain_name() {
  const Token token = stream_.expect(TokenKind::kName, "a name");
  for (const std::string_view taken : {"true", "false", "none", "True", "False", "None"}) {
    if (token.text == taken) {
      stream_.fail(ErrorCode::kCorruptFile, "nothing can be assigned to '" + token.text + "'",
                   token.line);
    }
  }
  return token.text;
}

Target ExpressionParser::assign_target(bool with_namespace) {
  if (with_namespace && TokenStream::is_operator(stream_.ahead(), ".")) {
    Target target;
    target.name = stream_.expect(TokenKind::kName, "a name").text;
    stream_.take();
    target.attribute = stream_.expect(TokenKind::kName, "the name of an attribute").text;
    return target;
  }
  // Only names and tuples of names: primary() and not expression(), which would read `in`.
  Maker node = make(ExprKind::kTuple, stream_.line());
  bool is_tuple = false;
  while (!stream_.is(TokenKind::kBlockEnd)) {
    const Nesting::Level level(nesting_, stream_);
    node->parts.push_back(primary());
    if (!stream_.skip_operator(",")) break;
    is_tuple = true;
  }
  if (node->parts.empty()) stream_.broken("expected a name to assign to");
  return target_of(is_tuple ? *node : *node->parts[0]);
}

Target ExpressionParser::target_of(const Expr& expr) const {
  Target target;
  if (expr.kind == ExprKind::kName) {
    target.name = expr.name;
  } else if (expr.kind == ExprKind::kTuple) {
    target.is_tuple = true;
    for (const ExprPtr& part : expr.parts) target.parts.push_back(target_of(*part));
  } else {
    stream_.fail(ErrorCode::kCorruptFile, "nothing can be assigned to what is no name", expr.line);
  }
  return target;
}

}  // namespace tern::jinja
