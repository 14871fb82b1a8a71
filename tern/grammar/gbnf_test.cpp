// GBNF: what grammars mean, by golden tables of Python's re; what is refused, and how.
#include <gtest/gtest.h>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/grammar/matcher.h"
#include "tern/grammar/syntax.h"

namespace tern::grammar {
namespace {

bool whole(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  Matcher matcher(grammar);
  return matcher.accept(text) && matcher.can_end();
}

TEST(Gbnf, TextsOfEachGrammarAreThoseOfTheRegularExpression) {
  const std::string file = TERN_GRAMMAR_GOLDEN_DIR "/gbnf.json";
  const Json golden = parse_json(read_text_file(file), file);
  std::size_t compared = 0;
  for (const Json& one : golden) {
    const auto text = one.at("grammar").get<std::string>();
    const auto grammar = make_grammar(text);
    for (const Json& entry : one.at("cases")) {
      const auto candidate = entry.at("text").get<std::string>();
      EXPECT_EQ(whole(grammar, candidate), entry.at("in").get<bool>()) << text << "\n" << candidate;
      ++compared;
    }
  }
  EXPECT_GE(compared, 150u);
}

// What no regular expression says.
TEST(Gbnf, RulesNest) {
  const auto nested = make_grammar(R"g(root ::= "(" root ")" | "x")g");
  for (const std::size_t depth : {0u, 1u, 2u, 50u, 3000u}) {
    const std::string open(depth, '('), close(depth, ')');
    EXPECT_TRUE(whole(nested, open + "x" + close)) << depth;
    EXPECT_FALSE(whole(nested, open + "x" + close + ")")) << depth;
    EXPECT_FALSE(whole(nested, "(" + open + "x" + close)) << depth;
  }
  const auto palindromes = make_grammar(R"(root ::= "a" root "a" | "b" root "b" | [ab]?)");
  for (const char* text : {"", "a", "abba", "ababa", "bbbbbb", "aabaa"}) {
    EXPECT_TRUE(whole(palindromes, text)) << text;
  }
  for (const char* text : {"ab", "abab", "aab", "c"})
    EXPECT_FALSE(whole(palindromes, text)) << text;
  const auto counted = make_grammar("root ::= (\"a\"{2} b){2}\nb ::= \"[\" root \"]\" | \"\"");
  for (const char* text : {"aaaa", "aa[aaaa]aa", "aaaa[aa[aaaa]aa]"}) {
    EXPECT_TRUE(whole(counted, text)) << text;
  }
  for (const char* text : {"aaa", "aa[aa]aa", "aa[aaaa]"})
    EXPECT_FALSE(whole(counted, text)) << text;
}

TEST(Gbnf, ErrorsSayWhereWhatAndWhatWasExpected) {
  const std::pair<const char*, const char*> kWrong[] = {
      {"", "no rule 'root' found"},
      {"  # nothing\n", "no rule 'root' found"},
      {"a ::= \"x\"", "no rule 'root' found"},
      {"root", "line 1, column 5: the end of the grammar found, expected '::='"},
      {"root = \"a\"", "line 1, column 6: '=' found, expected '::='"},
      {"root ::= \"a", "line 1, column 10: '\"' found, expected a literal that ends"},
      {"root ::= [a", "line 1, column 10: '[' found, expected a character class that ends"},
      {"root ::= []", "line 1, column 11: ']' found, expected a character in the class"},
      {"root ::= [^]", "expected a character in the class"},
      {"root ::= [z-a]", "line 1, column 11: 'z' found, expected a range"},
      {"root ::= (\"a\"", "line 1, column 14: the end of the grammar found"},
      {"root ::= \"a\")", "line 1, column 13: ')' found"},
      {"root ::= \"a\"\n  )", "line 2, column 3: ')' found, expected the name of a rule"},
      {"root ::= *", "line 1, column 10: '*' found, expected an element before a repetition"},
      {"root ::= \"a\"**", "line 1, column 14: '*' found, expected an element before"},
      {"root ::= \"a\"{", "expected a number of repetitions"},
      {"root ::= \"a\"{,3}", "',' found, expected a number of repetitions"},
      {"root ::= \"a\"{3,2}", "line 1, column 16: '2' found, expected at least 3"},
      {"root ::= \"a\"{3", "expected '}'"},
      {"root ::= \"a\"{100001}", "more repetitions than the limit found, expected at most 100000"},
      {"root ::= \"a\"{99999999999999999999}", "more repetitions"},
      {"root ::= \"\\q\"", "line 1, column 11: '\\' found, expected one of the escapes"},
      {"root ::= \"\\x4\"", "'\"' found, expected 2 hexadecimal digits"},
      {"root ::= \"\\uD800\"", "not half a surrogate pair"},
      {"root ::= \"\\U00110000\"", "a code point of at most 10FFFF"},
      {"root ::= \"\xff\"", "a byte that is not UTF-8 found"},
      {"root ::= é", "line 1, column 10: 'é' found"},
      {"root ::= b", "line 1, column 10: rule 'b' found, which is not defined"},
      {"root ::= \"é\" b c\nc ::= \"x\"", "line 1, column 14: rule 'b' found, which is not"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: 'r' found, expected each rule defined"},
      {"root ::= root \"a\" | \"b\"", "left recursion found: rule 'root' -> 'root'"},
      {"root ::= a\na ::= \"x\"? b\nb ::= c*\nc ::= a \"y\"", "left recursion found: rule 'a'"},
      {"root ::= (\"\" root)? \"a\"", "left recursion"},
      {"root ::= \"a\" root", "rule 'root' found, which no text can ever end"},
      {"root ::= \"a\" | b\nb ::= \"x\" b", "rule 'b' found, which no text can ever end"},
      {"root ::= [^\\x00-\\U0010FFFF]", "which no text can ever end"},
  };
  for (const auto& [text, expected] : kWrong) {
    try {
      make_grammar(text);
      FAIL() << text << " was accepted";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(expected), std::string::npos) << text << "\n"
                                                                         << e.what();
    }
  }
}

TEST(Gbnf, LimitsHold) {
  EXPECT_NO_THROW(
      make_grammar("root ::= " + std::string(60, '(') + "\"a\"" + std::string(60, ')')));
  EXPECT_THROW(make_grammar("root ::= " + std::string(100000, '(')), Error);
  EXPECT_THROW(make_grammar("root ::= \"" + std::string(kMaxElements, 'a') + "\""), Error);
  EXPECT_THROW(make_grammar(std::string(kMaxGrammarBytes + 1, '\n')), Error);
  std::string many = "root ::= \"a\"\n";
  for (std::size_t i = 0; i < kMaxRules; ++i) many += "r" + std::to_string(i) + " ::= \"a\"\n";
  EXPECT_THROW(make_grammar(many), Error);
  // Each rule tells the next: facts about rules take linear time in either order.
  std::string chain = "root ::= r0\n", back = "root ::= r19999\nr0 ::= \"a\"\n";
  for (int i = 0; i < 20000; ++i) {
    const std::string next = "r" + std::to_string(i + 1), name = "r" + std::to_string(i);
    chain += name + " ::= " + next + "\n";
    back += next + " ::= " + name + "\n";
  }
  EXPECT_NO_THROW(make_grammar(chain + "r20000 ::= \"a\""));
  EXPECT_NO_THROW(make_grammar(back));
}

}  // namespace
}  // namespace tern::grammar
