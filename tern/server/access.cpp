// Checks of a request's headers.
#include "tern/server/access.h"

#include <algorithm>

#include "tern/server/http_error.h"

namespace tern::server {
namespace {

// "[::1]:8080" -> "::1", "localhost:80" -> "localhost".
std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    const bool whole =
        end != std::string_view::npos && (end + 1 == host.size() || host[end + 1] == ':');
    return whole ? host.substr(1, end - 1) : std::string_view{};
  }
  return host.substr(0, host.find(':'));
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return result;
}

// A name in DNS never looks so, so that no page can have one.
bool is_address(std::string_view name) {
  if (name.find(':') != std::string_view::npos) {
    return name.find_first_not_of("0123456789abcdefABCDEF:.%") == std::string_view::npos;
  }
  return !name.empty() && name.find_first_not_of("0123456789.") == std::string_view::npos;
}

bool in(const std::vector<std::string>& list, std::string_view text) {
  return std::ranges::any_of(
      list, [&](const std::string& one) { return one == "*" || lower(one) == lower(text); });
}

// Long headers are not repeated in full.
std::string quoted(std::string_view text) {
  return "'" + std::string(text.substr(0, 100)) + (text.size() > 100 ? "...'" : "'");
}

}  // namespace

std::string decode_path(std::string_view path) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  std::string text;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%' && i + 2 < path.size() && digit(path[i + 1]) >= 0 &&
        digit(path[i + 2]) >= 0) {
      text += static_cast<char>(16 * digit(path[i + 1]) + digit(path[i + 2]));
      i += 2;
    } else {
      text += path[i];
    }
  }
  return text;
}

void check_sender(const Request& request, const AccessRules& rules) {
  const std::string_view host = request.header("Host"), origin = request.header("Origin");
  const std::string name = lower(host_name(host));
  const bool known = is_address(name) || name == "localhost" || name.ends_with(".localhost") ||
                     in(rules.allowed_hosts, name);
  if (!host.empty() && !known) {
    throw HttpError(403, "Host " + quoted(host) +
                             " found, expected an address, localhost or a name that "
                             "--allowed-host gives");
  }
  if (origin.empty() || in(rules.cors_origins, origin)) return;
  const std::size_t scheme = origin.find("://");
  const bool own = scheme != std::string_view::npos && !host.empty() &&
                   lower(origin.substr(scheme + 3)) == lower(host);
  if (!own) {
    throw HttpError(403, "Origin " + quoted(origin) +
                             " found, expected this server's own or one that --cors-origin allows");
  }
}

std::string_view cors_origin(const Request& request, const AccessRules& rules) {
  const std::string_view origin = request.header("Origin");
  return !origin.empty() && in(rules.cors_origins, origin) ? origin : std::string_view{};
}

bool same_secret(std::string_view a, std::string_view b) noexcept {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    difference |= static_cast<unsigned char>(a[i] ^ other);
  }
  return difference == 0;
}

void check_key(const Request& request, const AccessRules& rules) {
  if (rules.api_key.empty()) return;
  constexpr std::string_view kBearer = "bearer ";
  const std::string_view authorization = request.header("Authorization");
  std::string_view given = request.header("x-api-key");
  if (lower(authorization.substr(0, kBearer.size())) == kBearer) {
    given = authorization.substr(kBearer.size());
  }
  if (same_secret(given, rules.api_key)) return;
  throw HttpError(401,
                  given.empty() ? "no API key found, expected one as 'Authorization: Bearer KEY'"
                                : "a wrong API key found, expected the one the server was given",
                  "", "invalid_api_key");
}

}  // namespace tern::server
