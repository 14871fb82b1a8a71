// Errors as JSON.
#include "tern/server/http_error.h"

#include "tern/base/error.h"
#include "tern/base/json.h"

namespace tern::server {

std::string_view error_type(unsigned status) noexcept {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string error_body(const HttpError& error) {
  const auto or_null = [](const std::string& text) {
    return text.empty() ? OrderedJson() : OrderedJson(text);
  };
  return dump_ordered_json({{"error",
                             {{"message", error.what()},
                              {"type", error_type(error.status())},
                              {"param", or_null(error.param())},
                              {"code", or_null(error.code())}}}});
}

std::string anthropic_error_body(const HttpError& error) {
  const std::string_view type = error.status() == 413   ? "request_too_large"
                                : error.status() == 503 ? "overloaded_error"
                                : error.status() >= 500 ? "api_error"
                                                        : error_type(error.status());
  return dump_ordered_json(
      {{"type", "error"}, {"error", {{"type", type}, {"message", error.what()}}}});
}

HttpError current_http_error() {
  try {
    throw;
  } catch (const HttpError& e) {
    return e;
  } catch (const Error& e) {
    const bool ours = e.code() == ErrorCode::kIo;
    return HttpError(ours ? 500 : 400, e.what());
  } catch (const std::bad_alloc&) {
    return HttpError(500, "memory ran out while the request was read");
  } catch (const std::exception& e) {
    return HttpError(500, std::string("an unexpected error: ") + e.what());
  }
}

}  // namespace tern::server
