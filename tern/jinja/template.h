// The Jinja2 that chat templates of models are written in.
//
// Renders what Jinja2 3.1 renders in the environment that Hugging Face's transformers use for chat
// templates: an immutable sandbox, trim_blocks and lstrip_blocks, break and continue, the functions
// raise_exception and strftime_now, a tojson that is json.dumps without ASCII escapes, and blocks
// {% generation %} that only mark. docs/chat.md lists what is known. What is not known is named in
// an error, never passed over. Templates come from models' files and are not trusted.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tern/jinja/limits.h"
#include "tern/jinja/value.h"

namespace tern::jinja {

struct RenderOptions {
  Limits limits;
  std::optional<std::tm> now;  // What strftime_now shows; else the local time of the call.
};

// Const after construction and then shared by threads; variables must not be (see Value).
class Template {
 public:
  // `name` stands in front of errors. Throws Error: kCorruptFile for what is no template,
  // kUnsupported for what is known to Jinja2 and not here, kLimit for what nests too deep; each
  // with the line. Bytes that are no UTF-8 become U+FFFD.
  explicit Template(std::string_view source, std::string_view name = "chat template");
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  // The text. Throws Error: kBadArgument with the template's own sentence alone where it calls
  // raise_exception, and with name and line where it does what Python refuses (an undefined value
  // used, types that do not fit); kUnsupported and kLimit as above.
  std::string render(const Dict& variables, const RenderOptions& options = {}) const;
  // The same; `variables` is an object.
  std::string render(const Json& variables, const RenderOptions& options = {}) const;

 private:
  struct Tree;
  std::string name_;
  std::unique_ptr<const Tree> tree_;
};

}  // namespace tern::jinja
