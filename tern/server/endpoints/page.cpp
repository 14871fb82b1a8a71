// GET /: the page, out of the program itself.
#include <array>
#include <utility>

#include "tern/server/endpoints/endpoints.h"
#include "tern/server/http_error.h"
#include "tern/server/page_files.h"

namespace tern::server {
namespace {

// Nothing but this server's own files, and nothing inline: a text that a model wrote can never
// become a script.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

constexpr auto kTypes = std::to_array<std::pair<std::string_view, std::string_view>>({
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
});

std::string_view type_of(std::string_view path) {
  for (const auto& [end, type] : kTypes) {
    if (path.ends_with(end)) return type;
  }
  return "application/octet-stream";
}

}  // namespace

void get_page(Service&, const ExchangePtr& exchange) {
  const std::string& asked = exchange->request().path;
  const std::string_view path = asked == "/" ? std::string_view("/index.html") : asked;
  for (const PageFile& file : page_files()) {
    if (file.path != path) continue;
    return exchange->reply({200,
                            std::string(type_of(path)),
                            std::string(file.bytes),
                            {{"Cache-Control", "no-cache"},
                             {"Content-Security-Policy", std::string(kPolicy)},
                             {"X-Content-Type-Options", "nosniff"},
                             {"Referrer-Policy", "no-referrer"},
                             {"Cross-Origin-Resource-Policy", "same-origin"}}});
  }
  throw HttpError(
      404, "'GET " + asked.substr(0, 200) + "' found, expected one of the paths in docs/server.md");
}

}  // namespace tern::server
