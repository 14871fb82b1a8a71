// Python's str, over UTF-8: what its methods do, in code points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tern::jinja {

bool is_space(std::uint32_t code_point) noexcept;  // str.isspace, and \s of re.
bool is_blank(std::string_view text) noexcept;     // All of it is; true for "".

std::size_t code_points(std::string_view text) noexcept;  // len(text)
// The byte at which code point `index` <= code_points(text) begins.
std::size_t byte_of(std::string_view text, std::size_t index) noexcept;
std::vector<std::string> characters(std::string_view text);

// `chars` nullopt: white space, else any of these characters.
std::string_view lstrip(std::string_view text, const std::optional<std::string>& chars = {});
std::string_view rstrip(std::string_view text, const std::optional<std::string>& chars = {});

// str.split and str.rsplit; `limit` < 0 is no limit. `separator` nullopt: runs of white space, else
// a text that is not empty.
std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator,
                               std::int64_t limit);
std::vector<std::string> rsplit(std::string_view text, const std::optional<std::string>& separator,
                                std::int64_t limit);
std::vector<std::string> splitlines(std::string_view text, bool keep_ends);
// str.replace; `limit` < 0 is no limit.
std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    std::int64_t limit);

// Full Unicode case mapping. to_lower and capitalize throw Error(kUnsupported) for the capital
// sigma, whose small form depends on the word.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string capitalize(std::string_view text);

std::string float_repr(double value);          // repr(float): the shortest that reads back.
std::string text_repr(std::string_view text);  // repr(str), with its quotes.
std::string json_string(std::string_view text, bool ensure_ascii);  // json.dumps(str)

// int(text) and float(text) in base 10, white space and single underscores allowed; nullopt where
// Python raises ValueError. Throws Error(kUnsupported) for an integer beyond 64 bits.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<double> parse_float(std::string_view text);

std::string escape_html(std::string_view text);  // markupsafe.escape

}  // namespace tern::jinja
