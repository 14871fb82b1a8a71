// JSON schema: accepted texts are valid by another program's word, and what is not understood is
// refused.
#include "tern/grammar/json_schema.h"

#include <gtest/gtest.h>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/grammar/matcher.h"

namespace tern::grammar {
namespace {

bool whole(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  Matcher matcher(grammar);
  return matcher.accept(text) && matcher.can_end();
}

std::shared_ptr<const Grammar> of(std::string_view schema) {
  return json_schema_to_grammar(parse_ordered_json(schema, "schema"));
}

TEST(JsonSchema, AcceptsWhatAnotherValidatorAccepts) {
  const std::string file = TERN_GRAMMAR_GOLDEN_DIR "/schemas.json";
  const Json golden = parse_json(read_text_file(file), file);
  std::size_t accepted = 0, refused = 0;
  for (const Json& one : golden) {
    const auto schema = one.at("schema").get<std::string>();
    const auto grammar = of(schema);
    for (const Json& entry : one.at("cases")) {
      const auto text = entry.at("text").get<std::string>();
      const bool expected = entry.at("valid").get<bool>() && !entry.contains("narrower");
      EXPECT_EQ(whole(grammar, text), expected) << schema << "\n" << text;
      ++(expected ? accepted : refused);
    }
  }
  EXPECT_GE(accepted, 300u);
  EXPECT_GE(refused, 250u);
}

TEST(JsonSchema, WhatIsNotUnderstoodIsNamed) {
  const std::pair<const char*, const char*> kWrong[] = {
      {R"({"not":{}})", "#: keyword 'not' found, which is not supported, expected type, enum"},
      {R"({"properties":{"a":{"items":{"if":true}}}})", "#/properties/a/items: keyword 'if' found"},
      {R"({"properties":{"a/b~":{"x":1}}})", "#/properties/a~1b~0: keyword 'x' found"},
      {R"({"allOf":[{"type":"string","contains":1}]})", "keyword 'contains' found"},
      {R"({"anyOf":[{"type":"string"},{"dependentRequired":{}}]})",
       "#/anyOf/1: keyword 'dependentRequired' found"},
      {R"({"$defs":{"a":{"uniqueItems":true}},"$ref":"#/$defs/a"})",
       "#/$defs/a: keyword 'uniqueItems' found"},
      {R"({"type":"array","multipleOf":2})", "keyword 'multipleOf' found"},
      {R"({"type":"strin"})", "#: type \"strin\" found, expected object"},
      {R"({"type":[]})", "'type' is [], expected at least one type"},
      {R"({"type":1})", "type 1 found"},
      {R"({"enum":[]})", "'enum' is []"},
      {R"({"enum":["a"],"type":"integer"})", "no JSON value satisfies"},
      {R"({"enum":["a"],"minLength":3})", "keyword 'minLength' found beside enum"},
      {R"({"properties":[]})", "'properties' is [], expected an object"},
      {R"({"required":"a"})", "'required' is \"a\", expected an array"},
      {R"({"required":[1]})", "'required' holds 1"},
      {R"({"required":["a"],"additionalProperties":false})", "'required' names 'a'"},
      {R"({"properties":{"a":false},"required":["a"]})", "no JSON value satisfies"},
      {R"({"minItems":-1})", "'minItems' is -1, expected a whole number"},
      {R"({"minItems":3,"maxItems":2})", "no JSON value satisfies"},
      {R"({"minItems":200000})", "expected at most 100000"},
      {R"({"minLength":3,"maxLength":2})", "no JSON value satisfies"},
      {R"({"type":"integer","minimum":3,"maximum":2})", "no JSON value satisfies"},
      {R"({"type":"integer","minimum":"3"})", "'minimum' is \"3\", expected a number"},
      {R"({"type":"integer","minimum":1e300})", "expected a number from -9e15"},
      {R"({"type":"integer","exclusiveMinimum":true})", "'exclusiveMinimum' is true"},
      {R"({"type":"number","minimum":0.5})", "a bound 0.5 of a number found"},
      {R"({"type":"number","minimum":1,"exclusiveMaximum":1})", "no JSON value satisfies"},
      {R"({"pattern":"a","minLength":1})", "only one of pattern, format and lengths"},
      {R"g({"pattern":"(?=a)"})g", "#: pattern, character 2: a look-around or flag '(?' found"},
      {R"({"pattern":"a\\1"})", "the escape '\\1' found"},
      {R"({"pattern":"\\bа"})", "the escape '\\b' found"},
      {R"({"pattern":"\\p{L}"})", "the escape '\\p' found"},
      {R"({"pattern":"é(a"})", "pattern, character 4: the end found, expected ')'"},
      {R"g({"pattern":"a)"})g", "pattern, character 2: ')' found"},
      {R"({"pattern":"[z-a]"})", "expected the end of a range"},
      {R"({"pattern":"a{2,1}"})", "expected a maximum"},
      {R"({"pattern":"*"})", "'*' found, expected something to repeat"},
      {R"({"pattern":"a^b"})", "an anchor inside of the pattern"},
      {R"({"pattern":3})", "'pattern' is 3, expected a string"},
      {R"({"format":"color"})", "format 'color' found, which is not supported, expected date"},
      {R"({"$ref":"other.json"})", "$ref \"other.json\" found, expected one inside the schema"},
      {R"({"$ref":"#/$defs/x"})", "$ref '#/$defs/x' found, which names nothing"},
      {R"({"$ref":"#"})", "left recursion found"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
       "which no text can ever end"},
      {R"({"allOf":[{"type":"string"},{"type":"null"}]})", "two values of 'type' found"},
      {R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})", "two values of 'pattern' found, which"},
      {R"({"allOf":[{"const":1},{"const":2}]})", "two values of 'const' found"},
      {R"({"allOf":[]})", "'allOf' is [], expected an array of at least one schema"},
      {R"({"allOf":[{"prefixItems":[{}]},{"items":{}}]})",
       "'items' and 'prefixItems' of different"},
      {R"({"anyOf":[false]})", "no JSON value satisfies"},
      {R"({"items":[{}]})", "#/items: found array as a schema"},
      {R"(false)", "no JSON value satisfies"},
      {R"(3)", "found number as a schema"},
  };
  for (const auto& [schema, expected] : kWrong) {
    try {
      of(schema);
      ADD_FAILURE() << schema << " was accepted";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(expected), std::string::npos) << schema << "\n"
                                                                         << e.what();
      EXPECT_TRUE(std::string(e.what()).starts_with("JSON schema: ")) << e.what();
    }
  }
}

TEST(JsonSchema, LimitsHold) {
  std::string deep = "{}";
  for (int i = 0; i < 120; ++i) deep = R"({"items":)" + deep + "}";
  EXPECT_THROW(of(deep), Error);
  // allOf of anyOfs multiplies out.
  std::string product = R"({"allOf":[)";
  for (int i = 0; i < 40; ++i) {
    product += (i == 0 ? "" : ",") + std::string(R"({"anyOf":[{"minLength":1},{"maxLength":9}]})");
  }
  EXPECT_THROW(of(product + "]}"), Error);
  std::string wide = R"({"properties":{)";
  for (int i = 0; i < 3000; ++i) wide += "\"p" + std::to_string(i) + "\":{},";
  EXPECT_THROW(of(wide + R"("z":{}}})"), Error);
}

// A thousand optional properties and a long enum: the grammar stays linear and is fast.
TEST(JsonSchema, LargeSchemas) {
  std::string schema = R"({"type":"object","properties":{)";
  for (int i = 0; i < 1000; ++i) schema += "\"p" + std::to_string(i) + "\":{\"type\":\"integer\"},";
  schema += R"("e":{"enum":[)";
  for (int i = 0; i < 2000; ++i) schema += "\"value number " + std::to_string(i) + "\",";
  schema += R"("last"]}},"additionalProperties":{"type":"boolean"}})";
  const auto grammar = of(schema);
  EXPECT_TRUE(
      whole(grammar, R"({"p3": 1, "p500": 2, "p999": 3, "e": "value number 1777", "q": true})"));
  EXPECT_TRUE(whole(grammar, R"({"e":"last"})"));
  EXPECT_FALSE(whole(grammar, R"({"p500":1,"p3":2})"));
  EXPECT_FALSE(whole(grammar, R"({"e":"value number 2000"})"));
  EXPECT_FALSE(whole(grammar, R"({"p10000":1})"));
  EXPECT_TRUE(whole(grammar, R"({"p10000":true})"));
}

TEST(JsonSchema, JsonObjectIsAnyObject) {
  const auto grammar = json_object_grammar();
  for (const char* text : {"{}", R"({"a":[1,{"b":null}],"c":"x"})", "{\n  \"a\": 1\n}"}) {
    EXPECT_TRUE(whole(grammar, text)) << text;
  }
  for (const char* text : {"", "[]", "1", "{", R"({"a"})", "{}{}", R"({"a":1,})"}) {
    EXPECT_FALSE(whole(grammar, text)) << text;
  }
}

// No text may go on for ever with blanks alone.
TEST(JsonSchema, WhiteSpaceIsBounded) {
  Matcher matcher(json_object_grammar());
  ASSERT_TRUE(matcher.accept("{"));
  for (const char c : {' ', '\n', '\t'}) {
    Matcher copy = matcher;
    int count = 0;
    while (count < 100 && copy.accept(std::string_view(&c, 1))) ++count;
    EXPECT_LE(count, 2) << static_cast<int>(c);
  }
  EXPECT_TRUE(matcher.accepts("\n" + std::string(20, ' ') + "\"a\""));
  EXPECT_FALSE(matcher.accepts("\n" + std::string(21, ' ')));
}

}  // namespace
}  // namespace tern::grammar
