// Which characters stand where in a Hub name.
#include "tern/hub/model_name.h"

#include <algorithm>
#include <cstddef>

namespace tern::hub {
namespace {

constexpr std::size_t kLongestRepository = 96;
constexpr std::size_t kLongestRevision = 200;
constexpr std::size_t kLongestPart = 255;
constexpr std::size_t kLongestPath = 1000;

bool is_alphanumeric(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_one_of(char c, std::string_view set) noexcept {
  return set.find(c) != std::string_view::npos;
}

bool has(std::string_view text, std::string_view part) noexcept {
  return text.find(part) != std::string_view::npos;
}

bool is_name_part(std::string_view part) noexcept {
  if (part.empty() || has(part, "--") || has(part, "..")) return false;
  if (is_one_of(part.front(), "-.") || is_one_of(part.back(), "-.")) return false;
  return std::ranges::all_of(part,
                             [](char c) { return is_alphanumeric(c) || is_one_of(c, "-_."); });
}

// Whether every part between slashes is one, and `allowed` holds of every character.
template <class Allowed>
bool has_sound_parts(std::string_view path, std::size_t longest, Allowed allowed) noexcept {
  if (path.empty() || path.size() > longest) return false;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || part.size() > kLongestPart) return false;
    if (!std::ranges::all_of(part, allowed)) return false;
    if (end == path.size()) return true;
    begin = end + 1;
  }
}

bool is_lower_hex(std::string_view text) noexcept {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

std::string ModelName::text() const {
  return revision == kDefaultRevision ? repo() : repo() + "@" + revision;
}

std::string ModelName::folder() const { return "models--" + user + "--" + repository; }

bool is_repository(std::string_view user, std::string_view repository) noexcept {
  return is_name_part(user) && is_name_part(repository) &&
         user.size() + 1 + repository.size() <= kLongestRepository;
}

std::optional<ModelName> parse_model_name(std::string_view text) {
  ModelName name;
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    name.file = text.substr(colon + 1);
    if (!is_safe_path(name.file)) return std::nullopt;
    text = text.substr(0, colon);
  }
  if (const auto at = text.find('@'); at != std::string_view::npos) {
    name.revision = text.substr(at + 1);
    if (!is_revision(name.revision)) return std::nullopt;
    text = text.substr(0, at);
  }
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  name.user = text.substr(0, slash);
  name.repository = text.substr(slash + 1);
  if (!is_repository(name.user, name.repository)) return std::nullopt;
  return name;
}

bool is_revision(std::string_view text) noexcept {
  return !has(text, "..") && has_sound_parts(text, kLongestRevision, [](char c) {
    return is_alphanumeric(c) || is_one_of(c, "._-+=@");
  });
}

bool is_safe_path(std::string_view path) noexcept {
  return has_sound_parts(path, kLongestPath,
                         [](char c) { return is_alphanumeric(c) || is_one_of(c, "._-+=@,()"); });
}

bool leaves_its_folder(std::string_view path) noexcept {
  if (path.empty() || path.front() == '/') return true;
  if (std::ranges::any_of(path, [](char c) {
        return c == '\\' || c == 0x7f || static_cast<unsigned char>(c) < 0x20;
      })) {
    return true;
  }
  return has(path, "/../") || path.starts_with("../") || path.ends_with("/..") || path == "..";
}

bool is_commit(std::string_view text) noexcept { return text.size() == 40 && is_lower_hex(text); }

bool is_content_hash(std::string_view text) noexcept {
  return (text.size() == 40 || text.size() == 64) && is_lower_hex(text);
}

std::string percent_encoded(std::string_view text, bool keep_slashes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (is_alphanumeric(c) || is_one_of(c, "-._~") || (keep_slashes && c == '/')) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += '%';
    encoded += kDigits[byte >> 4];
    encoded += kDigits[byte & 15];
  }
  return encoded;
}

std::string shown(std::string_view text) {
  constexpr std::size_t kLongest = 100;
  std::string result(text.substr(0, kLongest));
  for (char& c : result) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  if (text.size() > kLongest) result += "...";
  return result;
}

}  // namespace tern::hub
