// A template: parsed once, rendered often.
#include "tern/jinja/template.h"

#include <utility>

#include "tern/base/error.h"
#include "tern/jinja/parser.h"
#include "tern/jinja/renderer.h"

namespace tern::jinja {
namespace {

std::tm local_time() {
  const std::time_t seconds = std::time(nullptr);
  std::tm shown{};
  localtime_r(&seconds, &shown);
  return shown;
}

}  // namespace

struct Template::Tree {
  Body body;
};

Template::Template(std::string_view source, std::string_view name)
    : name_(name), tree_(std::make_unique<const Tree>(Tree{parse_template(source, name)})) {}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

std::string Template::render(const Dict& variables, const RenderOptions& options) const {
  const std::tm now = options.now ? *options.now : local_time();
  Renderer renderer(name_, variables, options.limits, now);
  return renderer.run(tree_->body);
}

std::string Template::render(const Json& variables, const RenderOptions& options) const {
  if (!variables.is_object()) {
    throw Error(ErrorCode::kBadArgument, name_ + ": the variables are JSON of the type " +
                                             variables.type_name() + ", expected an object");
  }
  return render(Value::from_json(variables).as_dict(), options);
}

}  // namespace tern::jinja
