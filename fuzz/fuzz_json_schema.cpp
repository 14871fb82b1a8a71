// Any bytes as a JSON schema: a grammar or a tern::Error. A text that the grammar lets through is
// JSON.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tern/base/error.h"
#include "tern/grammar/json_schema.h"
#include "tern/grammar/matcher.h"

namespace {

using namespace tern;

// A short text of the grammar: at each place the first byte that may come, other ones in turn, so
// that lists end.
std::string some_text(const grammar::Matcher& start) {
  constexpr std::string_view kOrder = "\"}]{[,:0tfn1-aesulr.T";
  grammar::Matcher matcher = start;
  std::string text;
  for (std::size_t step = 0; step < 400 && !matcher.can_end(); ++step) {
    bool found = false;
    for (std::size_t i = 0; i < kOrder.size() + 256 && !found; ++i) {
      const char byte = i < kOrder.size() ? kOrder[(i + step / 40) % kOrder.size()]
                                          : static_cast<char>(i - kOrder.size());
      found = matcher.accept(std::string_view(&byte, 1));
      if (found) text += byte;
    }
    if (!found) __builtin_trap();  // A dead end.
  }
  return matcher.can_end() ? text : "";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const OrderedJson schema = parse_ordered_json(input, "schema");
    const auto grammar = grammar::json_schema_to_grammar(schema);
    const std::string text = some_text(grammar::Matcher(grammar));
    if (text.empty()) return 0;
    try {
      parse_ordered_json(text, "text");
    } catch (const Error& e) {
      // A model may repeat a key that is free; all else would be no JSON.
      if (std::string_view(e.what()).find("stands twice") == std::string_view::npos) {
        __builtin_trap();
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
