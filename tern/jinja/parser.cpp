// Statements of a template.
#include "tern/jinja/parser.h"

#include <initializer_list>
#include <utility>

#include "tern/jinja/expression_parser.h"

namespace tern::jinja {
namespace {

using Node = std::unique_ptr<Statement>;

class Parser {
 public:
  Parser(std::string_view source, std::string_view name)
      : stream_(tokenize(source, name), name), expressions_(stream_, nesting_) {}

  Body run() {
    Body body = until({});
    if (!stream_.is(TokenKind::kEnd)) stream_.broken("expected a statement");
    return body;
  }

 private:
  using Names = std::initializer_list<std::string_view>;
  struct Tag {
    std::string_view name;
    Node (Parser::*parse)();
  };
  static const Tag kTags[];

  Node make(StatementKind kind) const {
    auto node = std::make_unique<Statement>();
    node->kind = kind;
    node->line = stream_.line();
    return node;
  }

  // Statements up to a tag of one of these names, whose '{%' is taken and whose name is next; or,
  // where there are no names, to the end.
  Body until(Names ends) {
    const Nesting::Level level(nesting_, stream_);
    Body body;
    while (!stream_.is(TokenKind::kEnd)) {
      if (stream_.is(TokenKind::kText)) {
        Node node = make(StatementKind::kText);
        node->text = stream_.take().text;
        body.push_back(std::move(node));
      } else if (stream_.is(TokenKind::kOutputBegin)) {
        Node node = make(StatementKind::kOutput);
        stream_.take();
        node->expr = expressions_.tuple(true);
        stream_.expect(TokenKind::kOutputEnd, "'}}'");
        body.push_back(std::move(node));
      } else {
        stream_.expect(TokenKind::kBlockBegin, "a statement");
        for (const std::string_view end : ends) {
          if (stream_.is_name(end)) return body;
        }
        body.push_back(statement(ends));
        stream_.expect(TokenKind::kBlockEnd, "'%}'");
      }
    }
    if (ends.size() > 0) stream_.broken("expected '" + std::string(*ends.begin()) + "'");
    return body;
  }

  // The rest of an opening tag, then statements up to one of `ends`.
  Body body_until(Names ends) {
    stream_.skip_operator(":");
    stream_.expect(TokenKind::kBlockEnd, "'%}'");
    return until(ends);
  }
  Body body_to(std::string_view end) {
    Body body = body_until({end});
    stream_.take();
    return body;
  }

  Node statement(Names ends) {
    if (!stream_.is(TokenKind::kName)) stream_.broken("expected the name of a tag");
    for (const Tag* tag = kTags; !tag->name.empty(); ++tag) {
      if (stream_.is_name(tag->name)) return (this->*tag->parse)();
    }
    const std::string& name = stream_.now().text;
    if (name.starts_with("end") || name == "else" || name == "elif") {
      stream_.broken(ends.size() == 0 ? "which ends nothing that is open"
                                      : "expected '" + std::string(*std::prev(ends.end())) + "'");
    }
    stream_.fail(ErrorCode::kUnsupported, "the tag '" + name + "' is not known");
  }

  Node parse_if() {
    Node node = make(StatementKind::kIf);
    do {
      stream_.take();  // if, elif
      ExprPtr condition = expressions_.tuple(false);
      Body body = body_until({"elif", "else", "endif"});
      node->branches.emplace_back(std::move(condition), std::move(body));
    } while (stream_.is_name("elif"));
    if (stream_.skip_name("else")) {
      node->orelse = body_to("endif");
    } else {
      stream_.take();
    }
    return node;
  }

  Node parse_for() {
    Node node = make(StatementKind::kFor);
    stream_.take();
    node->target = expressions_.assign_target(false);
    refuse_loop(node->target);
    stream_.expect_name("in");
    node->expr = expressions_.tuple(false);
    if (stream_.skip_name("if")) node->test = expressions_.expression();
    node->recursive = stream_.skip_name("recursive");
    ++loops_;
    node->body = body_until({"endfor", "else"});
    --loops_;
    if (stream_.skip_name("else")) {
      node->orelse = body_to("endfor");
    } else {
      stream_.take();
    }
    return node;
  }

  void refuse_loop(const Target& target) const {
    if (target.name == "loop") {
      stream_.fail(ErrorCode::kCorruptFile, "nothing can be assigned to 'loop' in a for tag");
    }
    for (const Target& part : target.parts) refuse_loop(part);
  }

  Node parse_set() {
    Node node = make(StatementKind::kSet);
    stream_.take();
    node->target = expressions_.assign_target(true);
    if (stream_.skip_operator("=")) {
      node->expr = expressions_.tuple(true);
      return node;
    }
    node->kind = StatementKind::kSetBlock;
    node->filters = expressions_.filters(false);
    node->body = body_to("endset");
    return node;
  }

  Node parse_with() {
    Node node = make(StatementKind::kWith);
    stream_.take();
    while (!stream_.is(TokenKind::kBlockEnd)) {
      if (!node->targets.empty()) stream_.expect_operator(",");
      Target target;
      target.name = expressions_.plain_name();
      node->targets.push_back(std::move(target));
      stream_.expect_operator("=");
      node->values.push_back(expressions_.expression());
    }
    node->body = body_to("endwith");
    return node;
  }

  void parse_signature(MacroCode& macro) {
    stream_.expect_operator("(");
    while (!stream_.is_operator(")")) {
      if (!macro.parameters.empty()) stream_.expect_operator(",");
      macro.parameters.push_back(expressions_.plain_name());
      if (stream_.skip_operator("=")) {
        macro.defaults.push_back(expressions_.expression());
      } else if (!macro.defaults.empty()) {
        stream_.broken("expected '=': a parameter before it has a default");
      }
    }
    stream_.expect_operator(")");
  }

  void parse_macro_body(MacroCode& macro, std::string_view end) {
    const int outer_loops = std::exchange(loops_, 0);
    expressions_.open_macros.push_back(&macro);
    macro.body = body_to(end);
    expressions_.open_macros.pop_back();
    loops_ = outer_loops;
  }

  Node parse_macro() {
    Node node = make(StatementKind::kMacro);
    stream_.take();
    auto macro = std::make_unique<MacroCode>();
    macro->name = expressions_.plain_name();
    parse_signature(*macro);
    parse_macro_body(*macro, "endmacro");
    node->macro = std::move(macro);
    return node;
  }

  Node parse_call_block() {
    Node node = make(StatementKind::kCallBlock);
    stream_.take();
    auto macro = std::make_unique<MacroCode>();
    macro->name = "caller";
    if (stream_.is_operator("(")) parse_signature(*macro);
    node->expr = expressions_.expression();
    if (node->expr->kind != ExprKind::kCall) stream_.broken("expected a call");
    parse_macro_body(*macro, "endcall");
    node->macro = std::move(macro);
    return node;
  }

  Node parse_filter_block() {
    Node node = make(StatementKind::kFilterBlock);
    stream_.take();
    node->filters = expressions_.filters(true);
    node->body = body_to("endfilter");
    return node;
  }

  // Marks what the model wrote, for training; its text is printed like any other.
  Node parse_generation() {
    Node node = make(StatementKind::kScope);
    stream_.take();
    const int outer_loops = std::exchange(loops_, 0);
    node->body = body_to("endgeneration");
    loops_ = outer_loops;
    return node;
  }

  Node parse_break() { return leave_loop(StatementKind::kBreak); }
  Node parse_continue() { return leave_loop(StatementKind::kContinue); }
  Node leave_loop(StatementKind kind) {
    if (loops_ == 0) stream_.broken("which stands in no loop");
    Node node = make(kind);
    stream_.take();
    return node;
  }

  TokenStream stream_;
  Nesting nesting_;
  ExpressionParser expressions_;
  int loops_ = 0;  // That a break would leave.
};

const Parser::Tag Parser::kTags[] = {{"if", &Parser::parse_if},
                                     {"for", &Parser::parse_for},
                                     {"set", &Parser::parse_set},
                                     {"with", &Parser::parse_with},
                                     {"macro", &Parser::parse_macro},
                                     {"call", &Parser::parse_call_block},
                                     {"filter", &Parser::parse_filter_block},
                                     {"generation", &Parser::parse_generation},
                                     {"break", &Parser::parse_break},
                                     {"continue", &Parser::parse_continue},
                                     {"", nullptr}};

}  // namespace

Body parse_template(std::string_view source, std::string_view name) {
  return Parser(source, name).run();
}

}  // namespace tern::jinja
