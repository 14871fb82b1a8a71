// Truth, equality, order and arithmetic as Python has them.
#include "tern/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tern/jinja/python_text.h"

namespace tern::jinja {
namespace {

bool is_whole(const Value& value) { return value.is_number() && value.kind() != Kind::kFloat; }

std::string_view symbol(Operator op) {
  switch (op) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    default:
      return "**";
  }
}

[[noreturn]] void misfit(Renderer& renderer, std::string_view op, const Value& a, const Value& b) {
  for (const Value* one : {&a, &b}) {
    if (one->is_undefined()) renderer.fail(one->why());
  }
  renderer.fail("unsupported operand types for " + std::string(op) + ": '" + type_name(a) +
                "' and '" + type_name(b) + "'");
}

// Less, equal or greater by number: -1, 0, 1; nullopt beside a NaN. Exact, also beyond 2^53.
std::optional<int> order(const Value& a, const Value& b) {
  const auto exact = [](const Value& v) {
    return is_whole(v) ? static_cast<long double>(v.as_int())
                       : static_cast<long double>(v.as_double());
  };
  if (is_whole(a) && is_whole(b)) {
    return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int() ? 1 : 0;
  }
  const long double x = exact(a);
  const long double y = exact(b);
  if (std::isnan(x) || std::isnan(y)) return std::nullopt;
  return x < y ? -1 : x > y ? 1 : 0;
}

bool is_ordered_sequence(const Value& value) {
  return value.is_list() || value.is(SequenceKind::kTuple);
}

// Elements in order, without taking them from a generator.
bool equal_sequences(Renderer& renderer, const Sequence& a, const Sequence& b) {
  if (a.kind != b.kind || a.items.size() != b.items.size()) return false;
  for (std::size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(renderer, a.items[i], b.items[i])) return false;
  }
  return true;
}

bool equal_dicts(Renderer& renderer, const Dict& a, const Dict& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.find(key);
    if (other == nullptr || !equal(renderer, value, *other)) return false;
  }
  return true;
}

Value whole_arithmetic(Renderer& renderer, Operator op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Operator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Operator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Operator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Operator::kFloorDivide:
    case Operator::kModulo: {
      if (b == 0) renderer.fail("integer division or modulo by zero");
      if (b == -1) {  // INT64_MIN / -1 does not fit.
        overflow =
            op == Operator::kFloorDivide && __builtin_sub_overflow(std::int64_t{0}, a, &result);
        break;
      }
      const std::int64_t rest = a % b;
      const bool down = rest != 0 && (rest < 0) != (b < 0);
      result = op == Operator::kModulo ? rest + (down ? b : 0) : a / b - (down ? 1 : 0);
      break;
    }
    default: {  // kPower, b >= 0
      result = 1;
      std::int64_t base = a;
      while (b > 0 && !overflow) {
        if ((b & 1) != 0) overflow = __builtin_mul_overflow(result, base, &result);
        b >>= 1;
        if (b > 0 && !overflow) overflow = __builtin_mul_overflow(base, base, &base);
      }
    }
  }
  if (overflow) {
    renderer.fail("the result of " + std::string(symbol(op)) + " is beyond 64 bits",
                  ErrorCode::kUnsupported);
  }
  return Value::integer(result);
}

Value float_arithmetic(Renderer& renderer, Operator op, double a, double b) {
  if (b == 0 &&
      (op == Operator::kDivide || op == Operator::kFloorDivide || op == Operator::kModulo)) {
    renderer.fail("float division or modulo by zero");
  }
  switch (op) {
    case Operator::kAdd:
      return Value::number(a + b);
    case Operator::kSubtract:
      return Value::number(a - b);
    case Operator::kMultiply:
      return Value::number(a * b);
    case Operator::kDivide:
      return Value::number(a / b);
    case Operator::kPower: {
      if ((a == 0 && b < 0) || (a < 0 && b != std::floor(b))) {
        renderer.fail("a power that is no real number is not known", ErrorCode::kUnsupported);
      }
      const double result = std::pow(a, b);
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) {
        renderer.fail("the result of ** is too large");
      }
      return Value::number(result);
    }
    default:
      break;
  }
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0) {
    if ((b < 0) != (rest < 0)) {
      rest += b;
      quotient -= 1;
    }
  } else {
    rest = std::copysign(0.0, b);
  }
  if (op == Operator::kModulo) return Value::number(rest);
  if (quotient == 0) return Value::number(std::copysign(0.0, a / b));
  const double floored = std::floor(quotient);
  return Value::number(quotient - floored > 0.5 ? floored + 1 : floored);
}

Value repeated(Renderer& renderer, const Value& value, std::int64_t times) {
  const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  if (value.is_string()) {
    const std::string& text = value.as_string();
    std::string whole;
    if (text.empty() || count == 0) return value.is_markup() ? Value::markup("") : Value::text("");
    renderer.make_room(count > UINT64_MAX / text.size() ? UINT64_MAX : text.size() * count);
    whole.reserve(text.size() * count);
    for (std::uint64_t i = 0; i < count; ++i) whole += text;
    return value.is_markup() ? Value::markup(std::move(whole)) : Value::text(std::move(whole));
  }
  const Sequence& sequence = value.as_sequence();
  std::vector<Value> items;
  if (!sequence.items.empty() && count > 0) {
    renderer.step(count > UINT64_MAX / sequence.items.size() ? UINT64_MAX
                                                             : count * sequence.items.size());
    for (std::uint64_t i = 0; i < count; ++i) {
      items.insert(items.end(), sequence.items.begin(), sequence.items.end());
    }
  }
  return Value::sequence(sequence.kind, std::move(items));
}

// Texts and lists; nullopt where + is not for these.
std::optional<Value> joined(Renderer& renderer, const Value& a, const Value& b) {
  if (a.is_string() && b.is_string()) {
    const bool is_markup = a.is_markup() || b.is_markup();  // Then the other is escaped.
    const auto piece = [&](const Value& v) {
      return is_markup && !v.is_markup() ? escape_html(v.as_string()) : v.as_string();
    };
    renderer.make_room(a.as_string().size() + b.as_string().size());
    std::string whole = piece(a) + piece(b);
    return is_markup ? Value::markup(std::move(whole)) : Value::text(std::move(whole));
  }
  if (is_ordered_sequence(a) && is_ordered_sequence(b) &&
      a.as_sequence().kind == b.as_sequence().kind) {
    std::vector<Value> items = a.as_sequence().items;
    renderer.step(items.size() + b.as_sequence().items.size());
    items.insert(items.end(), b.as_sequence().items.begin(), b.as_sequence().items.end());
    return Value::sequence(a.as_sequence().kind, std::move(items));
  }
  return std::nullopt;
}

}  // namespace

std::string type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.is_markup() ? "Markup" : "str";
    case Kind::kDict:
      return "dict";
    case Kind::kObject:
      return std::string(value.as_object()->type_name());
    case Kind::kSequence:
      break;
  }
  switch (value.as_sequence().kind) {
    case SequenceKind::kList:
      return "list";
    case SequenceKind::kTuple:
      return "tuple";
    case SequenceKind::kRange:
      return "range";
    case SequenceKind::kKeys:
      return "dict_keys";
    case SequenceKind::kValues:
      return "dict_values";
    case SequenceKind::kItems:
      return "dict_items";
    case SequenceKind::kGenerator:
      return "generator";
  }
  return "object";
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.as_bool();
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_double() != 0;
    case Kind::kString:
      return !value.as_string().empty();
    case Kind::kSequence:
      return value.is(SequenceKind::kGenerator) || !value.as_sequence().items.empty();
    case Kind::kDict:
      return value.as_dict().size() > 0;
    case Kind::kObject:
      return true;
  }
  return false;
}

bool equal(Renderer& renderer, const Value& a, const Value& b) {
  renderer.step();
  if (a.is_number() && b.is_number()) return order(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return a.as_string() == b.as_string();
    case Kind::kDict:
      return a.same_as(b) || equal_dicts(renderer, a.as_dict(), b.as_dict());
    case Kind::kSequence:
      if (a.same_as(b)) return true;
      if (is_ordered_sequence(a) || a.is(SequenceKind::kRange)) {
        return equal_sequences(renderer, a.as_sequence(), b.as_sequence());
      }
      if (a.is(SequenceKind::kKeys) || a.is(SequenceKind::kItems)) {
        renderer.fail("comparing '" + type_name(a) + "' is not known", ErrorCode::kUnsupported);
      }
      return false;
    default:
      return a.same_as(b);
  }
}

bool less(Renderer& renderer, const Value& a, const Value& b, std::string_view shown) {
  renderer.step();
  if (a.is_number() && b.is_number()) return order(a, b) == -1;
  if (a.is_string() && b.is_string()) return a.as_string() < b.as_string();
  if (is_ordered_sequence(a) && b.kind() == Kind::kSequence &&
      a.as_sequence().kind == b.as_sequence().kind) {
    const auto& x = a.as_sequence().items;
    const auto& y = b.as_sequence().items;
    for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(renderer, x[i], y[i])) return less(renderer, x[i], y[i], shown);
    }
    return x.size() < y.size();
  }
  for (const Value* one : {&a, &b}) {
    if (one->is_undefined()) renderer.fail(one->why());
  }
  renderer.fail("'" + std::string(shown) + "' not supported between instances of '" + type_name(a) +
                "' and '" + type_name(b) + "'");
}

bool holds(Renderer& renderer, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString:
      if (!item.is_string()) {
        renderer.fail("'in <string>' requires string as left operand, not " + type_name(item));
      }
      renderer.step(container.as_string().size() / 64);
      return container.as_string().find(item.as_string()) != std::string::npos;
    case Kind::kDict:
      if (!Dict::can_be_key(item) && !item.is_undefined()) {
        renderer.fail("unhashable type: '" + type_name(item) + "'");
      }
      return container.as_dict().find(item) != nullptr;
    case Kind::kSequence: {
      const Sequence& sequence = container.as_sequence();
      const bool taken = sequence.kind == SequenceKind::kGenerator;
      for (std::size_t i = sequence.taken; i < sequence.items.size(); ++i) {
        if (taken) sequence.taken = i + 1;
        if (sequence.items[i].same_as(item) || equal(renderer, sequence.items[i], item))
          return true;
      }
      return false;
    }
    default:
      renderer.fail("argument of type '" + type_name(container) + "' is not iterable");
  }
}

bool compare_by(Renderer& renderer, Operator op, const Value& a, const Value& b) {
  // Where numbers are compared, nothing is less, equal or greater beside a NaN.
  const bool numbers = a.is_number() && b.is_number();
  switch (op) {
    case Operator::kEqual:
      return equal(renderer, a, b);
    case Operator::kNotEqual:
      return !equal(renderer, a, b);
    case Operator::kLess:
      return less(renderer, a, b, "<");
    case Operator::kGreater:
      return less(renderer, b, a, ">");
    case Operator::kLessEqual:
      if (numbers) return order(a, b).value_or(2) <= 0;
      return !less(renderer, b, a, "<=");
    case Operator::kGreaterEqual:
      if (numbers) return order(a, b).value_or(-2) >= 0;
      return !less(renderer, a, b, ">=");
    case Operator::kIn:
      return holds(renderer, b, a);
    default:
      return !holds(renderer, b, a);
  }
}

Value arithmetic(Renderer& renderer, Operator op, const Value& a, const Value& b) {
  if (is_whole(a) && is_whole(b)) {
    const std::int64_t x = a.as_int();
    const std::int64_t y = b.as_int();
    if (op == Operator::kDivide) {
      if (y == 0) renderer.fail("division by zero");
      return Value::number(
          static_cast<double>(static_cast<long double>(x) / static_cast<long double>(y)));
    }
    if (op != Operator::kPower || y >= 0) return whole_arithmetic(renderer, op, x, y);
  }
  if (a.is_number() && b.is_number()) {
    return float_arithmetic(renderer, op, a.as_double(), b.as_double());
  }
  if (op == Operator::kAdd) {
    if (auto whole = joined(renderer, a, b)) return *whole;
  }
  if (op == Operator::kMultiply) {
    if ((a.is_string() || is_ordered_sequence(a)) && is_whole(b)) {
      return repeated(renderer, a, b.as_int());
    }
    if ((b.is_string() || is_ordered_sequence(b)) && is_whole(a)) {
      return repeated(renderer, b, a.as_int());
    }
  }
  if (op == Operator::kModulo && a.is_string()) {
    renderer.fail("formatting a text by '%' is not known", ErrorCode::kUnsupported);
  }
  misfit(renderer, symbol(op), a, b);
}

Value negative(Renderer& renderer, const Value& value) {
  if (is_whole(value)) return whole_arithmetic(renderer, Operator::kSubtract, 0, value.as_int());
  if (value.is_number()) return Value::number(-value.as_double());
  if (value.is_undefined()) renderer.fail(value.why());
  renderer.fail("bad operand type for unary -: '" + type_name(value) + "'");
}

Value positive(Renderer& renderer, const Value& value) {
  if (is_whole(value)) return Value::integer(value.as_int());
  if (value.is_number()) return value;
  if (value.is_undefined()) renderer.fail(value.why());
  renderer.fail("bad operand type for unary +: '" + type_name(value) + "'");
}

}  // namespace tern::jinja
