// The compiler: checks a syntax tree and turns it into a program.
#include "tern/grammar/grammar.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "tern/base/error.h"
#include "tern/grammar/syntax.h"

namespace tern::grammar {
namespace {

using Kind = SyntaxNode::Kind;

// What holds for rules by way of the rules that they name: the empty text is one of theirs
// (nullable); some text is (productive). Each node of the tree knows how many of its children are
// still missing for it to hold, so that the time is linear in the grammar.
class RuleFacts {
 public:
  explicit RuleFacts(const Syntax& syntax) {
    references_.resize(syntax.rules.size());
    for (std::uint32_t rule = 0; rule < syntax.rules.size(); ++rule) {
      flatten(syntax.rules[rule].body, kNone, rule);
    }
    nullable_ = solve(syntax, [](const CharClass&) { return false; });
    productive_ = solve(syntax, [](const CharClass& chars) { return !chars.empty(); });
  }

  bool nullable(const SyntaxNode& node) const {
    const auto holds = [&](const SyntaxNode& child) { return nullable(child); };
    switch (node.kind) {
      case Kind::kClass:
        return false;
      case Kind::kRule:
        return nullable_[node.index];
      case Kind::kSequence:
        return std::ranges::all_of(node.children, holds);
      case Kind::kChoice:
        return std::ranges::any_of(node.children, holds);
      case Kind::kRepeat:
        return node.min == 0 || nullable(node.children[0]);
    }
    return false;
  }
  bool productive(std::uint32_t rule) const { return productive_[rule]; }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  struct Flat {
    const SyntaxNode* node;
    std::uint32_t parent;  // kNone: the body of a rule.
    std::uint32_t rule;
  };

  void flatten(const SyntaxNode& node, std::uint32_t parent, std::uint32_t rule) {
    const auto number = static_cast<std::uint32_t>(flat_.size());
    flat_.push_back({&node, parent, rule});
    if (node.kind == Kind::kRule) references_[node.index].push_back(number);
    for (const SyntaxNode& child : node.children) flatten(child, number, rule);
  }

  template <typename F>
  std::vector<bool> solve(const Syntax& syntax, const F& class_holds) const {
    std::vector<bool> rules(syntax.rules.size());
    std::vector<std::uint32_t> missing(flat_.size());
    std::vector<std::uint32_t> news;  // Nodes that hold and have not told their parent.
    for (std::uint32_t i = 0; i < flat_.size(); ++i) {
      missing[i] = initially_missing(syntax, *flat_[i].node, class_holds);
      if (missing[i] == 0) news.push_back(i);
    }
    const auto one_less = [&](std::uint32_t i) {
      if (missing[i] > 0 && --missing[i] == 0) news.push_back(i);
    };
    while (!news.empty()) {
      const Flat& flat = flat_[news.back()];
      news.pop_back();
      if (flat.parent != kNone) {
        one_less(flat.parent);
      } else {
        rules[flat.rule] = true;
        for (const std::uint32_t reference : references_[flat.rule]) one_less(reference);
      }
    }
    return rules;
  }
  template <typename F>
  static std::uint32_t initially_missing(const Syntax& syntax, const SyntaxNode& node,
                                         const F& class_holds) {
    switch (node.kind) {
      case Kind::kClass:
        return class_holds(syntax.classes[node.index]) ? 0 : 1;
      case Kind::kSequence:
        return static_cast<std::uint32_t>(node.children.size());
      case Kind::kRepeat:
        return node.min == 0 ? 0 : 1;
      case Kind::kRule:
      case Kind::kChoice:
        return 1;
    }
    return 1;
  }

  std::vector<Flat> flat_;
  std::vector<std::vector<std::uint32_t>> references_;  // To each rule.
  std::vector<bool> nullable_, productive_;
};

// Finds a rule that can come to itself without a character in between.
class LeftRecursion {
 public:
  LeftRecursion(const Syntax& syntax, const RuleFacts& facts)
      : facts_(facts), first_(syntax.rules.size()), seen_(syntax.rules.size(), Seen::kNo) {
    for (std::uint32_t i = 0; i < first_.size(); ++i) collect(syntax.rules[i].body, first_[i]);
  }

  // The rules of a circle, the first of them named again at its end; empty: there is none.
  std::vector<std::uint32_t> circle() {
    for (std::uint32_t rule = 0; rule < first_.size(); ++rule) {
      if (seen_[rule] != Seen::kNo) continue;
      std::vector<std::pair<std::uint32_t, std::size_t>> path{{rule, 0}};
      seen_[rule] = Seen::kOpen;
      while (!path.empty()) {
        auto& [at, next] = path.back();
        if (next == first_[at].size()) {
          seen_[at] = Seen::kDone;
          path.pop_back();
          continue;
        }
        const std::uint32_t to = first_[at][next++];
        if (seen_[to] == Seen::kOpen) return from(path, to);
        if (seen_[to] == Seen::kDone) continue;
        seen_[to] = Seen::kOpen;
        path.emplace_back(to, 0);
      }
    }
    return {};
  }

 private:
  enum class Seen : std::uint8_t { kNo, kOpen, kDone };

  static std::vector<std::uint32_t> from(
      const std::vector<std::pair<std::uint32_t, std::size_t>>& path, std::uint32_t rule) {
    std::vector<std::uint32_t> out;
    for (const auto& [at, next] : path) {
      if (at == rule || !out.empty()) out.push_back(at);
    }
    out.push_back(rule);
    return out;
  }

  // The rules that `node` can begin with.
  void collect(const SyntaxNode& node, std::vector<std::uint32_t>& out) const {
    if (node.kind == Kind::kRule) out.push_back(node.index);
    for (const SyntaxNode& child : node.children) {
      collect(child, out);
      if (node.kind == Kind::kSequence && !facts_.nullable(child)) return;
    }
  }

  const RuleFacts& facts_;
  std::vector<std::vector<std::uint32_t>> first_;
  std::vector<Seen> seen_;
};

class Compiler {
 public:
  Compiler(const Syntax& syntax, const RuleFacts& facts) : syntax_(syntax), facts_(facts) {}

  // The program of all rules that root reaches; rules are emitted as they are first called.
  std::vector<Instruction> compile() {
    entry_.resize(syntax_.rules.size());
    need(syntax_.root);
    for (std::size_t next = 0; next < wanted_.size(); ++next) {
      const std::uint32_t rule = wanted_[next];
      entry_[rule] = here();
      emit(syntax_.rules[rule].body);
      put({.op = Op::kReturn});
    }
    for (Instruction& one : code_) {
      if (one.op == Op::kCall) one.target = *entry_[one.target];
    }
    return std::move(code_);
  }
  const std::vector<std::uint32_t>& wanted() const { return wanted_; }

 private:
  std::uint32_t here() const { return static_cast<std::uint32_t>(code_.size()); }
  std::uint32_t put(Instruction one) {
    code_.push_back(one);
    return here() - 1;
  }
  void need(std::uint32_t rule) {
    if (entry_[rule]) return;
    entry_[rule] = 0;  // Its place is known when it is emitted.
    wanted_.push_back(rule);
  }

  void emit(const SyntaxNode& node) {
    switch (node.kind) {
      case Kind::kClass:
        put({.op = Op::kChar, .target = node.index});
        break;
      case Kind::kRule:
        need(node.index);
        put({.op = Op::kCall, .target = node.index});
        break;
      case Kind::kSequence:
        for (const SyntaxNode& child : node.children) emit(child);
        break;
      case Kind::kChoice:
        emit_choice(node);
        break;
      case Kind::kRepeat:
        emit_repeat(node);
        break;
    }
  }

  void emit_choice(const SyntaxNode& node) {
    std::vector<std::uint32_t> ends;
    for (std::size_t i = 0; i + 1 < node.children.size(); ++i) {
      const std::uint32_t split = put({.op = Op::kSplit});
      emit(node.children[i]);
      ends.push_back(put({.op = Op::kJump}));
      code_[split].target = here();
    }
    emit(node.children.back());
    for (const std::uint32_t end : ends) code_[end].target = here();
  }

  // x?, x*, x+ are jumps; other counts need a counter on the stack.
  void emit_repeat(const SyntaxNode& node) {
    const SyntaxNode& body = node.children[0];
    if (node.max == 0) return;
    if (node.min == 1 && node.max == 1) return emit(body);
    if (node.min == 0 && node.max == 1) {
      const std::uint32_t split = put({.op = Op::kSplit});
      emit(body);
      code_[split].target = here();
    } else if (node.min == 0 && node.max == kUnbounded) {
      const std::uint32_t split = put({.op = Op::kSplit});
      emit(body);
      put({.op = Op::kJump, .target = split});
      code_[split].target = here();
    } else if (node.min == 1 && node.max == kUnbounded) {
      const std::uint32_t begin = here();
      emit(body);
      put({.op = Op::kSplit, .target = here() + 2});
      put({.op = Op::kJump, .target = begin});
    } else {
      const std::uint32_t repeat = put(
          {.op = Op::kRepeat, .nullable = facts_.nullable(body), .min = node.min, .max = node.max});
      emit(body);
      put({.op = Op::kReturn});
      code_[repeat].target = here();
    }
  }

  const Syntax& syntax_;
  const RuleFacts& facts_;
  std::vector<Instruction> code_;
  std::vector<std::optional<std::uint32_t>> entry_;  // Of each rule; none: not wanted so far.
  std::vector<std::uint32_t> wanted_;                // Rules in the order they are emitted.
};

}  // namespace

Grammar::Grammar(std::string_view gbnf) {
  Syntax syntax = parse_gbnf(gbnf);
  const RuleFacts facts(syntax);
  const std::vector<std::uint32_t> circle = LeftRecursion(syntax, facts).circle();
  if (!circle.empty()) {
    const SyntaxRule& rule = syntax.rules[circle.front()];
    std::string names;
    // A long circle is told by its beginning.
    for (std::size_t i = 1; i < std::min<std::size_t>(circle.size(), 6); ++i) {
      names += " -> '" + syntax.rules[circle[i]].name + "'";
    }
    throw Error(ErrorCode::kBadArgument,
                place_in(gbnf, rule.at) + "left recursion found: rule '" + rule.name + "'" + names +
                    ", expected a character before a rule comes to itself");
  }
  Compiler compiler(syntax, facts);
  code_ = compiler.compile();
  for (const std::uint32_t number : compiler.wanted()) {
    const SyntaxRule& rule = syntax.rules[number];
    if (!facts.productive(number)) {
      throw Error(ErrorCode::kBadArgument, place_in(gbnf, rule.at) + "rule '" + rule.name +
                                               "' found, which no text can ever end, expected a "
                                               "way out of it");
    }
  }
  classes_ = std::move(syntax.classes);
}

std::shared_ptr<const Grammar> make_grammar(std::string_view gbnf) {
  return std::make_shared<const Grammar>(gbnf);
}

}  // namespace tern::grammar
