// One HTTP GET at a time through libcurl, with redirects followed here so that the token goes to
// the endpoint alone, and with limits on everything that a server decides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace tern::hub {

struct HttpOptions {
  std::string endpoint;  // "https://huggingface.co": the only origin that gets the token.
  std::string token;     // Empty: none.
  std::string user_agent = "tern";
  long connect_seconds = 30;
  long stall_seconds = 30;  // Less than one byte a second for so long ends a transfer.
};

using Headers = std::map<std::string, std::string>;  // By lower-case names.

struct HttpResponse {
  long status = 0;     // Of the last response; 0 where none came.
  std::string origin;  // "https://host:443", which gave it.
  Headers headers;     // Of the last response.
  Headers endpoint;  // Of all responses of the endpoint's origin, a later one's over an earlier's.
  // What ended the transfer before its end, as a phrase; empty where nothing did. It may pass by
  // itself: what cannot is thrown.
  std::string fault;

  const std::string* header(const std::string& name) const noexcept;
};

struct HttpRequest {
  std::string url;
  bool head = false;            // Only headers, and no redirect to another origin is followed.
  std::uint64_t from = 0;       // Range: bytes=FROM-, where it is not 0.
  std::string if_range;         // With `from`: the ETag of what is there already, sent to
  std::string if_range_origin;  // this origin alone, which gave it.
  long total_seconds = 0;       // For everything; 0: no limit.
};

// Where a body goes. What these throw ends the transfer and comes out of get().
class BodySink {
 public:
  virtual ~BodySink() = default;
  virtual void begin(const HttpResponse& response) = 0;  // Once, before any byte, on status 2xx.
  virtual void write(std::string_view bytes) = 0;
};

// The bytes into a string of at most `limit`. Throws Error(kLimit) on more.
class StringSink : public BodySink {
 public:
  StringSink(std::string what, std::size_t limit) : what_(std::move(what)), limit_(limit) {}
  void begin(const HttpResponse&) override { text.clear(); }
  void write(std::string_view bytes) override;

  std::string text;

 private:
  std::string what_;
  std::size_t limit_;
};

// One thread; keeps connections open between requests. The proxy variables of libcurl are obeyed
// (https_proxy, no_proxy, ...), the system's certificates are asked.
class HttpClient {
 public:
  // Throws Error(kBadArgument) where the endpoint is no http or https address or the token has
  // characters that no token has.
  explicit HttpClient(HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  const HttpOptions& options() const noexcept { return options_; }
  // Whether requests to the endpoint carry the token: it has one, and is https or on this machine.
  bool sends_token() const noexcept { return sends_token_; }

  // At most ten redirects, none from https to http. Bodies of other responses than 2xx are
  // dropped. Throws Error(kIo) on what cannot pass by itself: a host name that is not known, a
  // certificate that is wrong, an endless redirect, headers without end.
  HttpResponse get(const HttpRequest& request, BodySink& sink);

 private:
  struct Curl;
  void follow_once(const HttpRequest& request, const std::string& url, BodySink& sink,
                   HttpResponse& response, std::string& next);

  HttpOptions options_;
  std::string endpoint_origin_;
  bool sends_token_ = false;
  std::unique_ptr<Curl> curl_;
};

}  // namespace tern::hub
