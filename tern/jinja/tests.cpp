// The tests that follow `is`.
#include <algorithm>

#include "tern/jinja/builtins.h"
#include "tern/jinja/operators.h"

namespace tern::jinja {
namespace {

struct Row {
  std::string_view name;
  TestFunction test;
};

const Value& only(Renderer& renderer, const Arguments& arguments) {
  if (arguments.values.size() != 1 || !arguments.named.empty()) {
    renderer.fail("this test takes one value");
  }
  return arguments.values[0];
}

void none_given(Renderer& renderer, const Arguments& arguments) {
  if (!arguments.values.empty() || !arguments.named.empty()) {
    renderer.fail("this test takes no value");
  }
}

template <bool (*kIs)(const Value&)>
bool plain(Renderer& renderer, const Value& input, const Arguments& arguments) {
  none_given(renderer, arguments);
  return kIs(input);
}

template <Operator kOp>
bool compared(Renderer& renderer, const Value& input, const Arguments& arguments) {
  return compare_by(renderer, kOp, input, only(renderer, arguments));
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.kind() == Kind::kBool; }
bool is_true(const Value& v) { return v.kind() == Kind::kBool && v.as_bool(); }
bool is_false(const Value& v) { return v.kind() == Kind::kBool && !v.as_bool(); }
bool is_integer(const Value& v) { return v.kind() == Kind::kInt; }
bool is_float(const Value& v) { return v.kind() == Kind::kFloat; }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.kind() == Kind::kDict; }
bool is_sequence(const Value& v) {
  return v.is_undefined() || v.is_string() || v.kind() == Kind::kDict || v.is_list() ||
         v.is(SequenceKind::kTuple) || v.is(SequenceKind::kRange);
}
bool is_iterable(const Value& v) {
  return v.is_undefined() || v.is_string() || v.kind() == Kind::kDict ||
         v.kind() == Kind::kSequence ||
         (v.kind() == Kind::kObject && dynamic_cast<const Loop*>(v.as_object().get()) != nullptr);
}
bool is_callable(const Value& v) {
  return v.is_undefined() || (v.kind() == Kind::kObject &&
                              dynamic_cast<const Namespace*>(v.as_object().get()) == nullptr);
}

template <int kRest>
bool has_rest(Renderer& renderer, const Value& input, const Arguments& arguments) {
  none_given(renderer, arguments);
  const Value rest = arithmetic(renderer, Operator::kModulo, input, Value::integer(2));
  return equal(renderer, rest, Value::integer(kRest));
}

bool divisibleby(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const auto bound = bind(renderer, "divisibleby", arguments, {"num"}, 1);
  const Value rest = arithmetic(renderer, Operator::kModulo, input, *bound[0]);
  return equal(renderer, rest, Value::integer(0));
}

// Which values are one object in memory is Python's affair but for these.
bool sameas(Renderer& renderer, const Value& input, const Arguments& arguments) {
  const Value& other = only(renderer, arguments);
  const auto single = [](const Value& v) { return v.is_none() || v.kind() == Kind::kBool; };
  if (!single(input) && !single(other)) {
    renderer.fail("the test 'sameas' is known for true, false and none alone",
                  ErrorCode::kUnsupported);
  }
  return input.same_as(other);
}

constexpr Row kTests[] = {{"defined", plain<is_defined>},
                          {"undefined", plain<is_undefined>},
                          {"none", plain<is_none>},
                          {"boolean", plain<is_boolean>},
                          {"true", plain<is_true>},
                          {"false", plain<is_false>},
                          {"integer", plain<is_integer>},
                          {"float", plain<is_float>},
                          {"number", plain<is_number>},
                          {"string", plain<is_string>},
                          {"mapping", plain<is_mapping>},
                          {"sequence", plain<is_sequence>},
                          {"iterable", plain<is_iterable>},
                          {"callable", plain<is_callable>},
                          {"odd", has_rest<1>},
                          {"even", has_rest<0>},
                          {"divisibleby", divisibleby},
                          {"sameas", sameas},
                          {"in", compared<Operator::kIn>},
                          {"==", compared<Operator::kEqual>},
                          {"eq", compared<Operator::kEqual>},
                          {"equalto", compared<Operator::kEqual>},
                          {"!=", compared<Operator::kNotEqual>},
                          {"ne", compared<Operator::kNotEqual>},
                          {"<", compared<Operator::kLess>},
                          {"lt", compared<Operator::kLess>},
                          {"lessthan", compared<Operator::kLess>},
                          {"<=", compared<Operator::kLessEqual>},
                          {"le", compared<Operator::kLessEqual>},
                          {">", compared<Operator::kGreater>},
                          {"gt", compared<Operator::kGreater>},
                          {"greaterthan", compared<Operator::kGreater>},
                          {">=", compared<Operator::kGreaterEqual>},
                          {"ge", compared<Operator::kGreaterEqual>}};

}  // namespace

TestFunction find_test(std::string_view name) {
  const auto row = std::ranges::find(kTests, name, &Row::name);
  return row == std::end(kTests) ? nullptr : row->test;
}

}  // namespace tern::jinja
