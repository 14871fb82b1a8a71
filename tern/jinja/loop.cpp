// The variable `loop`.
#include <utility>

#include "tern/jinja/objects.h"
#include "tern/jinja/operators.h"
#include "tern/jinja/renderer.h"

namespace tern::jinja {

Loop::Loop(Renderer& renderer, const Statement& statement, std::shared_ptr<Scope> outside,
           const Value& over, std::int64_t depth0)
    : renderer_(renderer),
      statement_(&statement),
      outside_(std::move(outside)),
      lazy_(statement.test != nullptr || over.is(SequenceKind::kGenerator)),
      depth0_(depth0) {
  depth = over.depth() + 1;
  if (depth > kMaxValueDepth) renderer.fail("loops hold each other too deep", ErrorCode::kLimit);
  if (over.is(SequenceKind::kGenerator)) {
    over_ = over;
  } else {
    items_ = renderer.items(over);
  }
}

void Loop::close() {
  statement_ = nullptr;
  outside_.reset();
  last_changed_.reset();
}

// The next element that the loop's filter lets pass.
std::optional<Value> Loop::pull() {
  while (statement_ != nullptr) {
    Value item;
    if (!over_.is_undefined()) {
      const Sequence& generator = over_.as_sequence();
      if (generator.taken == generator.items.size()) return std::nullopt;
      item = generator.items[generator.taken++];
    } else {
      if (next_ == items_.size()) return std::nullopt;
      item = items_[next_++];
    }
    if (length_ || !statement_->test) return item;
    const auto scope = std::make_shared<Scope>(outside_);
    renderer_.assign(statement_->target, item, *scope);
    if (truth(renderer_.evaluate(*statement_->test, *scope))) return item;
  }
  return std::nullopt;
}

const std::optional<Value>& Loop::peek() {
  if (!peeked_) {
    after_ = pull();
    peeked_ = true;
  }
  return after_;
}

bool Loop::advance() {
  std::optional<Value> item = peeked_ ? std::move(after_) : pull();
  peeked_ = false;
  after_.reset();
  if (!item) return false;
  ++index0_;
  before_ = std::exchange(current_, std::move(*item));
  return true;
}

std::size_t Loop::length() {
  if (!length_ && !lazy_) length_ = items_.size();
  if (!length_) {  // Takes all the rest now, as Jinja2 does.
    std::vector<Value> rest;
    while (std::optional<Value> item = pull()) rest.push_back(std::move(*item));
    length_ = rest.size() + static_cast<std::size_t>(index0_ + 1) + (peeked_ && after_ ? 1 : 0);
    items_ = std::move(rest);
    next_ = 0;
    over_ = Value();
  }
  return *length_;
}

Value Loop::attribute(std::string_view name) {
  const auto whole = [](std::int64_t value) { return Value::integer(value); };
  if (name == "index") return whole(index0_ + 1);
  if (name == "index0") return whole(index0_);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(!peek());
  if (name == "length") return whole(static_cast<std::int64_t>(length()));
  if (name == "revindex") return whole(static_cast<std::int64_t>(length()) - index0_);
  if (name == "revindex0") return whole(static_cast<std::int64_t>(length()) - index0_ - 1);
  if (name == "depth") return whole(depth0_ + 1);
  if (name == "depth0") return whole(depth0_);
  if (name == "previtem") {
    return index0_ == 0 ? Value::undefined("there is no previous item") : before_;
  }
  if (name == "nextitem") {
    const std::optional<Value>& next = peek();
    return next ? *next : Value::undefined("there is no next item");
  }
  return Value::undefined("'jinja2.runtime.LoopContext object' has no attribute '" +
                          std::string(name) + "'");
}

Value Loop::cycle(const Arguments& arguments) {
  if (arguments.values.empty() || !arguments.named.empty()) {
    renderer_.fail("loop.cycle takes one or more values");
  }
  return arguments.values[static_cast<std::size_t>(index0_) % arguments.values.size()];
}

Value Loop::changed(const Arguments& arguments) {
  if (statement_ == nullptr) renderer_.fail("loop.changed after its loop is not known");
  Value now = Value::sequence(SequenceKind::kTuple, arguments.values);
  const bool is_new = !last_changed_ || !equal(renderer_, *last_changed_, now);
  if (is_new) last_changed_ = std::move(now);
  return Value::boolean(is_new);
}

Value Loop::recurse(const Arguments& arguments) {
  if (statement_ == nullptr || !statement_->recursive) {
    renderer_.fail("the loop must have the 'recursive' marker to be called recursively");
  }
  if (arguments.values.size() != 1 || !arguments.named.empty()) {
    renderer_.fail("loop(...) takes one value");
  }
  return Value::text(renderer_.run_loop(*statement_, outside_, arguments.values[0], depth0_ + 1));
}

}  // namespace tern::jinja
