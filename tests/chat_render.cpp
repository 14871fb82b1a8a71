// Renders chat templates for chat_test.py: one JSON object per line in, one per line out.
//
// In:  {"template": text, "variables": object}
// Out: {"output": text}, or {"error": sentence}
#include <ctime>
#include <iostream>
#include <string>

#include "tern/base/error.h"
#include "tern/jinja/template.h"

namespace {

using tern::jinja::Value;

// chat_oracle.py's NOW: Saturday 2024-07-06 09:05:03.
std::tm fixed_time() {
  std::tm time{};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 6;
  time.tm_hour = 9;
  time.tm_min = 5;
  time.tm_sec = 3;
  time.tm_wday = 6;
  time.tm_yday = 187;
  return time;
}

tern::Json answer(const std::string& line) {
  try {
    const Value request = tern::jinja::parse_value(line, "request");
    const tern::jinja::Dict& fields = request.as_dict();
    tern::jinja::RenderOptions options;
    options.now = fixed_time();
    const tern::jinja::Template chat(fields.find("template")->as_string());
    return {{"output", chat.render(fields.find("variables")->as_dict(), options)}};
  } catch (const tern::Error& e) {
    return {{"error", e.what()}};
  }
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << tern::dump_json(answer(line)) << std::endl;
  }
}
