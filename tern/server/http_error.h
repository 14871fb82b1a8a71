// What is wrong with a request, in the words and the shape of OpenAI's API.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace tern::server {

// Thrown while a request is read and answered; api.cpp makes the response of it. what() is one
// sentence: the thing, what was found, what was expected.
class HttpError : public std::runtime_error {
 public:
  // `param`: the field at fault ("messages[1].content"), or empty; `code`: OpenAI's, or empty.
  HttpError(unsigned status, const std::string& message, std::string param = {},
            std::string code = {})
      : std::runtime_error(message),
        status_(status),
        param_(std::move(param)),
        code_(std::move(code)) {}

  unsigned status() const noexcept { return status_; }
  const std::string& param() const noexcept { return param_; }
  const std::string& code() const noexcept { return code_; }

 private:
  unsigned status_;
  std::string param_, code_;
};

// OpenAI's `type` of a status: "invalid_request_error", "authentication_error" ...
std::string_view error_type(unsigned status) noexcept;
// {"error": {"message", "type", "param", "code"}}.
std::string error_body(const HttpError& error);
// Anthropic's: {"type": "error", "error": {"type", "message"}}.
std::string anthropic_error_body(const HttpError& error);

// The exception being handled, as an HttpError: tern::Error by its code, all else 500. Call it in a
// catch block.
HttpError current_http_error();

}  // namespace tern::server
