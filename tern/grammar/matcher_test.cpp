// The matcher: bytes inside of characters, copies, limits, and random grammars against a plain
// recognizer.
#include "tern/grammar/matcher.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tern/base/error.h"
#include "tern/base/utf8.h"
#include "tern/grammar/syntax.h"

namespace tern::grammar {
namespace {

TEST(Matcher, TakesATextInAnyParts) {
  const auto grammar = make_grammar(R"(root ::= ("日本" | [あ-ん]+ | "😀" [é-ü])+ "!")");
  const std::string text = "日本あいう😀é日本!";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Matcher matcher(grammar);
    ASSERT_TRUE(matcher.accept(std::string_view(text).substr(0, cut))) << cut;
    EXPECT_EQ(matcher.can_end(), cut == text.size()) << cut;
    EXPECT_EQ(matcher.can_go_on(), cut < text.size()) << cut;
    ASSERT_TRUE(matcher.accept(std::string_view(text).substr(cut))) << cut;
    EXPECT_TRUE(matcher.can_end());
  }
}

TEST(Matcher, KnowsInsideOfACharacterWhatItCanBecome) {
  Matcher matcher(make_grammar("root ::= [\\u3042-\\u3044\\u00E9]"));  // E3 81 82 .. 84, C3 A9
  EXPECT_TRUE(matcher.accepts("\xE3"));
  EXPECT_FALSE(matcher.accepts("\xE4"));
  EXPECT_TRUE(matcher.accepts("\xE3\x81"));
  EXPECT_FALSE(matcher.accepts("\xE3\x82"));
  EXPECT_TRUE(matcher.accepts("\xE3\x81\x84"));
  EXPECT_FALSE(matcher.accepts("\xE3\x81\x85"));
  EXPECT_TRUE(matcher.accepts("\xC3\xA9"));
  EXPECT_FALSE(matcher.accepts("\xC3\xA8"));
  EXPECT_FALSE(matcher.accepts("\xA9"));
  ASSERT_TRUE(matcher.accept("\xE3"));
  EXPECT_FALSE(matcher.can_end());
  EXPECT_FALSE(matcher.accept("a"));  // And nothing has changed.
  EXPECT_TRUE(matcher.accept("\x81\x83"));
  EXPECT_TRUE(matcher.can_end());
}

// Every code point against its class, and everything that is not UTF-8 against the widest.
TEST(Matcher, EveryCodePoint) {
  const Matcher narrow(
      make_grammar("root ::= [^\\x00-\\x40\\u0100-\\u2FFF\\U00010000-\\U0001F5FF]"));
  const Matcher any(make_grammar("root ::= ."));
  for (std::uint32_t c = 0; c <= kMaxCodePoint; c += c < 0x3000 ? 1 : 61) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    EXPECT_TRUE(any.accepts(text)) << c;
    const bool in = c > 0x40 && !(c >= 0x100 && c <= 0x2FFF) && !(c >= 0x10000 && c <= 0x1F5FF);
    EXPECT_EQ(narrow.accepts(text), in) << c;
  }
  for (const char* broken : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF",
                             "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",
                             "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE3\x81\x41"}) {
    EXPECT_FALSE(any.accepts(broken)) << static_cast<int>(static_cast<unsigned char>(broken[0]));
  }
  Matcher copy = any;
  EXPECT_TRUE(copy.accept(U'\U0001F600'));
  EXPECT_FALSE(Matcher(any).accept(char32_t{0xD800}));
  EXPECT_FALSE(Matcher(any).accept(char32_t{0x110000}));
}

TEST(Matcher, CopiesGoTheirOwnWays) {
  Matcher one(make_grammar(R"(root ::= "a" ("b" "c" | "d"))"));
  ASSERT_TRUE(one.accept("a"));
  Matcher two = one;
  ASSERT_TRUE(one.accept("b"));
  EXPECT_FALSE(one.accepts("d"));
  ASSERT_TRUE(two.accept("d"));
  EXPECT_TRUE(two.can_end());
  EXPECT_FALSE(one.can_end());
  ASSERT_TRUE(one.accept("c"));
  EXPECT_TRUE(one.can_end());
}

// Long texts go through far more states than are kept.
TEST(Matcher, ForgetsWhatItNoLongerNeeds) {
  const auto grammar =
      make_grammar("root ::= (\"é\" [a-z]{2,3} [0-9]{0,90000} \"(\" root \")\")? \"x\"{0,9}");
  Matcher matcher(grammar);
  const Matcher start = matcher;
  const std::string begin = "éab" + std::string(60000, '7') + "(";
  ASSERT_TRUE(matcher.accept(begin));
  ASSERT_TRUE(matcher.accept(begin.substr(0, 1)));  // Half of the é.
  const Matcher half = matcher;
  ASSERT_TRUE(matcher.accept(begin.substr(1)));
  ASSERT_TRUE(matcher.accept("xxx))"));
  EXPECT_FALSE(matcher.accepts(")"));
  EXPECT_TRUE(matcher.can_end());
  EXPECT_LT(matcher.automaton()->states(), 10000u);
  Matcher other = half;
  EXPECT_TRUE(other.accept(begin.substr(1) + "))"));
  EXPECT_TRUE(start.accepts("éabc1(x)"));
}

TEST(Matcher, LimitsHold) {
  Matcher deep(make_grammar(R"g(root ::= "(" root ")" | "x")g"));
  EXPECT_THROW(deep.accept(std::string(1000000, '(')), Error);
  Matcher ambiguous(make_grammar(R"(root ::= (("a"{0,1000}){0,1000} "b"?){0,1000} "c")"));
  try {
    ambiguous.accept(std::string(2000, 'a'));
    SUCCEED();  // A cleverer machine may do it.
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kLimit) << e.what();
  }
  // The same letters in ever more ways: refused, not computed for ever.
  std::string grammar = "root ::= a0 \"!\"\n";
  for (int i = 0; i < 30; ++i) {
    const std::string next = "a" + std::to_string(i + 1);
    grammar += "a" + std::to_string(i) + " ::= " + next + " \"x\" " + next + " | " + next +
               " \"y\" " + next + "\n";
  }
  const auto wide = make_grammar(grammar + "a30 ::= \"z\" | \"\"");
  EXPECT_THROW(Matcher(wide).accept(std::string(100, 'x')), Error);
}

// A grammar made of random choices, as GBNF and as a tree for the recognizer below, which follows
// the definition and knows nothing of stacks or states: end positions of a node from a position.
class RandomGrammar {
 public:
  explicit RandomGrammar(std::uint32_t seed) : random_(seed) {
    rules_.resize(1 + random_() % 4);
    for (std::size_t i = 0; i < rules_.size(); ++i) rules_[i] = node(3, i);
  }

  std::string gbnf() const {
    std::string out;
    for (std::size_t i = 0; i < rules_.size(); ++i)
      out += name(i) + " ::= " + text(rules_[i]) + "\n";
    return out;
  }
  bool whole(const std::string& text) { return from(0, text).contains(text.size()); }
  std::string sample() {
    std::string out;
    write(rules_[0], out, 0);
    return out;
  }

 private:
  enum class Kind { kChar, kClass, kRule, kGuarded, kSequence, kChoice, kRepeat };
  struct Node {
    Kind kind = Kind::kChar;
    std::string chars;  // kChar: it; kClass: the letters it is one of.
    std::size_t rule = 0;
    std::size_t min = 0, max = 0;  // kRepeat; max 99: no limit.
    std::vector<Node> children;
  };
  using Ends = std::set<std::size_t>;

  static std::string name(std::size_t rule) {
    return rule == 0 ? "root" : "r" + std::to_string(rule);
  }

  // Rules name only later ones, or earlier ones behind a character: no left recursion. Such a
  // guarded one is optional, so that there is a way out.
  Node node(int depth, std::size_t rule) {
    Node n;
    const std::uint32_t kind = depth == 0 ? random_() % 2 : random_() % 8;
    if (kind <= 1) {
      n.kind = kind == 0 ? Kind::kChar : Kind::kClass;
      n.chars = std::string(1, "abc"[random_() % 3]);
      if (kind == 1) n.chars = random_() % 2 == 0 ? "ab" : "bc";
    } else if (kind == 2 && rule + 1 < rules_.size()) {
      n.kind = Kind::kRule;
      n.rule = rule + 1 + random_() % (rules_.size() - rule - 1);
    } else if (kind == 3) {
      n.kind = Kind::kGuarded;
      n.chars = std::string(1, "abc"[random_() % 3]);
      n.rule = random_() % rules_.size();
    } else if (kind == 4) {
      n.kind = Kind::kRepeat;
      n.min = random_() % 3;
      n.max = random_() % 3 == 0 ? 99 : n.min + random_() % 3;
      n.children.push_back(node(depth - 1, rule));
    } else {
      n.kind = kind == 5 ? Kind::kChoice : Kind::kSequence;
      const std::size_t count = 1 + random_() % 3;
      for (std::size_t i = 0; i < count; ++i) n.children.push_back(node(depth - 1, rule));
    }
    return n;
  }

  static std::string text(const Node& n) {
    switch (n.kind) {
      case Kind::kChar:
        return "\"" + n.chars + "\"";
      case Kind::kClass:
        return "[" + n.chars + "]";
      case Kind::kRule:
        return name(n.rule);
      case Kind::kGuarded:
        return "(\"" + n.chars + "\" " + name(n.rule) + ")?";
      case Kind::kRepeat:
        return "(" + text(n.children[0]) + "){" + std::to_string(n.min) + "," +
               (n.max == 99 ? "" : std::to_string(n.max)) + "}";
      default: {
        std::string out = "(";
        for (std::size_t i = 0; i < n.children.size(); ++i) {
          out += (i == 0 ? "" : n.kind == Kind::kChoice ? " | " : " ") + text(n.children[i]);
        }
        return out + ")";
      }
    }
  }

  // From position 0 of `text`, rule root.
  Ends from(std::size_t at, const std::string& text) {
    known_.clear();
    return rule_ends(0, at, text);
  }
  Ends rule_ends(std::size_t rule, std::size_t at, const std::string& text) {
    const auto key = std::pair(rule, at);
    if (const auto it = known_.find(key); it != known_.end()) return it->second;
    const Ends out = ends(rules_[rule], at, text);
    known_[key] = out;
    return out;
  }
  Ends ends(const Node& n, std::size_t at, const std::string& text) {
    const bool fits = at < text.size() && n.chars.find(text[at]) != std::string::npos;
    switch (n.kind) {
      case Kind::kChar:
      case Kind::kClass:
        return fits ? Ends{at + 1} : Ends{};
      case Kind::kRule:
        return rule_ends(n.rule, at, text);
      case Kind::kGuarded: {
        Ends out = fits ? rule_ends(n.rule, at + 1, text) : Ends{};
        out.insert(at);
        return out;
      }
      case Kind::kChoice: {
        Ends out;
        for (const Node& child : n.children) out.merge(ends(child, at, text));
        return out;
      }
      case Kind::kSequence: {
        Ends here{at};
        for (const Node& child : n.children) here = after(child, here, text);
        return here;
      }
      case Kind::kRepeat: {
        Ends here{at}, out;
        const std::size_t most = n.max == 99 ? n.min + text.size() + 1 : n.max;
        for (std::size_t i = 0; i <= most; ++i) {
          if (i >= n.min) out.insert(here.begin(), here.end());
          here = after(n.children[0], here, text);
        }
        return out;
      }
    }
    return {};
  }
  Ends after(const Node& n, const Ends& starts, const std::string& text) {
    Ends out;
    for (const std::size_t at : starts) out.merge(ends(n, at, text));
    return out;
  }

  void write(const Node& n, std::string& out, int depth) {
    switch (n.kind) {
      case Kind::kChar:
      case Kind::kClass:
        out += n.chars[random_() % n.chars.size()];
        break;
      case Kind::kRule:
        write(rules_[n.rule], out, depth + 1);
        break;
      case Kind::kGuarded:
        if (depth > 4 || random_() % 2 == 0) break;
        out += n.chars;
        write(rules_[n.rule], out, depth + 1);
        break;
      case Kind::kChoice:
        write(n.children[random_() % n.children.size()], out, depth);
        break;
      case Kind::kSequence:
        for (const Node& child : n.children) write(child, out, depth);
        break;
      case Kind::kRepeat: {
        const std::size_t count = n.min + random_() % (n.max == 99 ? 4 : n.max - n.min + 1);
        for (std::size_t i = 0; i < count; ++i) write(n.children[0], out, depth);
        break;
      }
    }
  }

  std::mt19937 random_;
  std::vector<Node> rules_;
  std::map<std::pair<std::size_t, std::size_t>, Ends> known_;
};

TEST(Matcher, RandomGrammarsAgainstAPlainRecognizer) {
  std::size_t accepted = 0, refused = 0, too_ambiguous = 0;
  for (std::uint32_t seed = 0; seed < 400; ++seed) {
    RandomGrammar random(seed);
    const std::string gbnf = random.gbnf();
    const auto grammar = make_grammar(gbnf);
    std::mt19937 mutations(seed);
    for (int i = 0; i < 8; ++i) {
      std::string text = random.sample();
      if (text.size() > 60) continue;
      for (int round = 0; round < 3; ++round) {
        bool whole = false;
        try {
          Matcher matcher(grammar);
          whole = matcher.accept(text) && matcher.can_end();
        } catch (const Error& e) {  // Counted repetitions inside of each other, of the same letter.
          ASSERT_EQ(e.code(), ErrorCode::kLimit) << e.what();
          ++too_ambiguous;
          break;
        }
        ASSERT_EQ(whole, random.whole(text)) << gbnf << text;
        ASSERT_TRUE(whole || round > 0) << gbnf << text;
        ++(whole ? accepted : refused);
        const std::size_t at = text.empty() ? 0 : mutations() % text.size();
        const auto kind = mutations() % 3;
        const char letter = "abcd"[mutations() % 4];
        if (kind == 0) text.insert(at, 1, letter);
        if (kind == 1 && !text.empty()) text.erase(at, 1);
        if (kind == 2 && !text.empty()) text[at] = letter;
      }
    }
  }
  EXPECT_LT(too_ambiguous, 20u);
  EXPECT_GT(accepted, 2000u);
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace tern::grammar
