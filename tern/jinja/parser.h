// Tokens of a template become its tree.
#pragma once

#include <string>
#include <string_view>

#include "tern/jinja/syntax.h"

namespace tern::jinja {

// Throws Error(kCorruptFile) for what is no template, Error(kUnsupported) for a tag, filter, test
// or syntax of Jinja2 that is not known here, Error(kLimit) for one that is nested too deep; each
// with `name` and the line in front.
Body parse_template(std::string_view source, std::string_view name);

}  // namespace tern::jinja
