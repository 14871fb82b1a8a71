// What is refused and how it is said, limits, and values.
#include <gtest/gtest.h>

#include "tern/base/error.h"
#include "tern/jinja/template.h"

namespace tern::jinja {
namespace {

std::string render(std::string_view source, const Json& variables = Json::object(),
                   const Limits& limits = {}) {
  RenderOptions options;
  options.limits = limits;
  return Template(source, "t").render(variables, options);
}

struct Said {
  ErrorCode code;
  std::string what;
};

Said refusal(std::string_view source, const Json& variables = Json::object(),
             const Limits& limits = {}) {
  try {
    return {ErrorCode::kIo, "rendered: " + render(source, variables, limits)};
  } catch (const Error& e) {
    return {e.code(), e.what()};
  }
}

std::string repeated(std::string_view piece, std::size_t times) {
  std::string whole;
  for (std::size_t i = 0; i < times; ++i) whole += piece;
  return whole;
}

TEST(Refusal, NamesTheLineAndWhatIsNotKnown) {
  constexpr std::pair<std::string_view, std::string_view> kCases[] = {
      {"a\n\n{% include 'x' %}", "t: line 3: the tag 'include' is not known"},
      {"{% do l.append(1) %}", "t: line 1: the tag 'do' is not known"},
      {"{% block x %}{% endblock %}", "t: line 1: the tag 'block' is not known"},
      {"{{ 'x'\n| wordcount }}", "t: line 2: the filter 'wordcount' is not known"},
      {"{{ x is lower }}", "t: line 1: the test 'lower' is not known"},
      {"{{ f(*args) }}", "t: line 1: arguments unpacked by '*' are not known"},
      {"{{ '%s' % 1 }}", "t: line 1: formatting a text by '%' is not known"},
      {"\n{{ 'x'.format(1) }}", "t: line 2: the attribute 'format' of a str is not known"},
      {"{{ [1].pop() }}", "t: line 1: the attribute 'pop' of a list is not known"},
      {"{{ 'x'.__class__ }}", "t: line 1: the attribute '__class__' is not known"},
      {"{{ cycler(1) }}", "t: line 1: the function 'cycler' is not known"},
      {"{{ 9223372036854775807 + 1 }}", "t: line 1: the result of + is beyond 64 bits"},
      {"{{ 2 ** 63 }}", "t: line 1: the result of ** is beyond 64 bits"},
      {"{{ -9223372036854775807 - 2 }}", "t: line 1: the result of - is beyond 64 bits"},
      {"{{ 0x10 }}", "t: line 1: a number that is not decimal is not known"},
      {"{{ strftime_now('%Q') }}", "t: line 1: the time format '%Q' is not known"},
      {"{{ strftime_now('%99999d') }}", "t: line 1: the time format '%9' is not known"},
      {"{{ strftime_now('%') }}", "t: line 1: the time format '%' is not known"},
      {"{{ range(3) }}", "t: line 1: printing a value of the type 'range' is not known"},
      {"{{ ['a']|map('nofilter')|list }}", "t: line 1: the filter 'nofilter' is not known"},
      {"{{ {(1, 2): 3} }}", "t: line 1: a key of the type 'tuple' is not known"},
  };
  for (const auto& [source, sentence] : kCases) {
    const Said said = refusal(source);
    EXPECT_EQ(said.what, sentence) << source;
    EXPECT_EQ(said.code, ErrorCode::kUnsupported) << source;
  }
}

TEST(Refusal, SaysWhatIsWrong) {
  constexpr std::pair<std::string_view, std::string_view> kCases[] = {
      {"a\n{{ m.x.y }}", "t: line 2: 'dict object' has no attribute 'x'"},
      {"{{ gone + 1 }}", "t: line 1: 'gone' is undefined"},
      {"{{ m.x() }}", "t: line 1: 'dict object' has no attribute 'x'"},
      {"{{ 'a' + 1 }}", "t: line 1: unsupported operand types for +: 'str' and 'int'"},
      {"{{ [].append(1) }}", "t: line 1: access to attribute 'append' of 'list' object is unsafe."},
      {"{% for a in 5 %}{% endfor %}", "t: line 1: 'int' object is not iterable"},
      {"{% if x %}\n\n", "t: line 2: found the template's end, expected 'elif'"},
      {"{{ 'abc }}", "t: line 1: a string that begins here has no end"},
      {"{{ a }", "t: line 1: unexpected '}'"},
      {"{{ (a] }}", "t: line 1: unexpected ']', expected ')'"},
      {"x\n{# y", "t: line 2: a comment that begins here has no end '#}'"},
  };
  for (const auto& [source, sentence] : kCases) {
    EXPECT_EQ(refusal(source, {{"m", Json::object()}}).what, sentence) << source;
  }
}

TEST(Refusal, RaiseExceptionIsTheTemplatesOwnSentence) {
  const Said said = refusal("{% set x = 1 %}\n{{ raise_exception('Only ' ~ x ~ ' may speak!') }}");
  EXPECT_EQ(said.what, "Only 1 may speak!");
  EXPECT_EQ(said.code, ErrorCode::kBadArgument);
}

// Each would take the machine's time, stack or memory, were there no limit.
TEST(Limits, HostileTemplatesEnd) {
  const std::string sources[] = {
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% "
      "endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% "
      "endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor "
      "%}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(200) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(200) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% endfor %}{{ ns.x|tojson }}",
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(200) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
      "{{ 'x' * 9223372036854775807 }}",
      "{{ [1, 2] * 9223372036854775807 }}",
      "{% set a = 'x' * 9999999 %}{{ a.replace('x', a) }}",
      "{% set a = 'x' * 9999999 %}{{ a.replace('', a) }}",
      "{{ 'x'|indent(9223372036854775807, true) }}",
      "{{ [1]|tojson(indent=9223372036854775807) }}",
      "{% set a = 'x' * 999999 %}{% for i in range(99999) %}{{ a }}{% endfor %}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% set a = ['x' * 999999] * 99999 %}{{ a|join }}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(9999) %}{% for x in [ns.l] %}"
      "{% set ns.l = loop %}{% endfor %}{% endfor %}",
      "{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}",
      "{{ " + repeated("[", 5000) + repeated("]", 5000) + " }}",
      "{{ " + repeated("not ", 5000) + "1 }}",
      "{{ " + repeated("-", 5000) + "1 }}",
      "{{ 1" + repeated(" + 1", 5000) + " }}",
      "{{ a" + repeated(".a", 5000) + " }}",
      "{{ a" + repeated("|list", 5000) + " }}",
      "{{ " + repeated("1 if 1 else ", 5000) + "1 }}",
      repeated("{% if 1 %}", 5000) + repeated("{% endif %}", 5000),
      repeated("{% for x in [1] %}", 190) + "x" + repeated("{% endfor %}", 190) +
          repeated("{% for x in [1] %}", 201) + repeated("{% endfor %}", 201),
  };
  Limits limits;  // Fewer steps than by default, because sanitizers count them slowly.
  limits.steps /= 10;
  for (const std::string& source : sources) {
    const Said said = refusal(source, Json::object(), limits);
    EXPECT_EQ(said.code, ErrorCode::kLimit) << source.substr(0, 90) << ": " << said.what;
  }
}

TEST(Limits, AreThoseGiven) {
  const std::string loop = "{% for i in range(100) %}x{% endfor %}";
  Limits few;
  few.steps = 50;
  EXPECT_EQ(refusal(loop, Json::object(), few).what,
            "t: line 1: the template took more than 50 steps");
  Limits small;
  small.output_bytes = 99;
  EXPECT_EQ(refusal(loop, Json::object(), small).code, ErrorCode::kLimit);
  small.output_bytes = 100;
  EXPECT_EQ(render(loop, Json::object(), small), std::string(100, 'x'));
  Limits shallow;
  shallow.depth = 2;
  EXPECT_EQ(refusal("{% if [[1]] %}{% endif %}", Json::object(), shallow).code, ErrorCode::kLimit);
}

TEST(Limits, AllowWhatChatTemplatesNeed) {
  // Ten thousand messages, each looked at from all that came before by a namespace.
  Json messages = Json::array();
  for (int i = 0; i < 10000; ++i)
    messages.push_back({{"role", "user"}, {"content", std::string(100, 'x')}});
  const std::string text = render(
      "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + m.content|length %}"
      "{{ m.role ~ m.content|trim }}{% endfor %}{{ ns.n }}",
      {{"messages", messages}});
  EXPECT_EQ(text.size(), 104U * 10000 + 7);
  // A macro that calls itself as deep as a tool's schema is nested.
  EXPECT_EQ(
      render("{% macro m(n) %}{% if n %}{% for x in [1] %}({{ m(n - 1) }}){% endfor %}{% endif %}"
             "{% endmacro %}{{ m(50) }}"),
      std::string(50, '(') + std::string(50, ')'));
}

TEST(Template, BrokenUtf8IsReplaced) {
  EXPECT_EQ(render("a\xFF{{ 'b\xE3\x81' }}"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
}

TEST(Template, RendersOftenAndEqually) {
  const Template one(
      "{% set ns = namespace(n=0) %}{% for x in l %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n "
      "}}");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(one.render(Json{{"l", {1, 2, 3}}}), "6");
  EXPECT_THROW(one.render(Json::array()), Error);
}

TEST(Value, KeepsTheOrderOfItsText) {
  const Value value = parse_value(R"({"b": 1, "a": {"z": [], "y": 2.5}, "c": null})", "x");
  Dict variables;
  variables.set("v", value);
  EXPECT_EQ(Template("{{ v|tojson }}").render(variables),
            R"({"b": 1, "a": {"z": [], "y": 2.5}, "c": null})");
}

TEST(Value, RefusesWhatPythonWouldReadOtherwise) {
  EXPECT_THROW(parse_value(R"({"a": 1, "a": 2})", "x"), Error);
  EXPECT_THROW(parse_value("18446744073709551615", "x"), Error);
  EXPECT_THROW(parse_value("99999999999999999999999", "x"), Error);
  EXPECT_THROW(parse_value("[1", "x"), Error);
  EXPECT_THROW(parse_value(repeated("[", 300) + repeated("]", 300), "x"), Error);
  EXPECT_THROW(Value::from_json(Json(UINT64_MAX)), Error);
}

}  // namespace
}  // namespace tern::jinja
