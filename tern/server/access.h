// Who may ask: the key, the Host and the Origin of a request.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tern/server/exchange.h"

namespace tern::server {

struct AccessRules {
  std::string api_key;                     // Empty: none is asked for.
  std::vector<std::string> cors_origins;   // "https://example.org", or "*" for any.
  std::vector<std::string> allowed_hosts;  // Names of this server beside the obvious; "*": any.
};

// A page of any site can make a browser send requests to 127.0.0.1, also under a name of its own
// that it lets point there (DNS rebinding): such a request carries that name as its Host, and the
// page's Origin. Throws HttpError(403) where the Host is neither an address, nor localhost, nor an
// allowed name, or the Origin is neither this server itself nor allowed.
void check_sender(const Request& request, const AccessRules& rules);

// The Origin to be told in Access-Control-Allow-Origin; empty: none.
std::string_view cors_origin(const Request& request, const AccessRules& rules);

// Throws HttpError(401) without the key, as `Authorization: Bearer` or `x-api-key`. The time does
// not tell how much of a key was right.
void check_key(const Request& request, const AccessRules& rules);

// Equal, in a time that depends on the lengths alone.
bool same_secret(std::string_view a, std::string_view b) noexcept;

}  // namespace tern::server
