// libcurl's easy interface, one hop at a time.
#include "tern/hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <utility>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/hub/model_name.h"

namespace tern::hub {
namespace {

constexpr int kMostRedirects = 10;
constexpr std::size_t kMostHeaderBytes = 64 << 10;  // Of one response.
constexpr std::size_t kMostDroppedBytes = 1 << 20;  // Of a body that nobody wants.
constexpr std::size_t kLongestUrl = 16 << 10;

struct FreeUrl {
  void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
};
struct FreeText {
  void operator()(char* text) const noexcept { curl_free(text); }
};
struct FreeList {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

void append(List& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) throw Error(ErrorCode::kLimit, "no memory for an HTTP request");
  (void)list.release();
  list.reset(longer);
}

struct Origin {
  std::string scheme, host, port;
  std::string text() const { return scheme + "://" + host + ":" + port; }
};

std::string part_of(CURLU* url, CURLUPart part, unsigned flags) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  const std::unique_ptr<char, FreeText> owner(text);
  std::string value(text);
  std::ranges::transform(value, value.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return value;
}

// Throws Error(kIo) where `url` is no plain http or https address.
Origin origin_of(const std::string& url) {
  const std::unique_ptr<CURLU, FreeUrl> parsed(curl_url());
  Origin origin;
  if (parsed && url.size() <= kLongestUrl &&
      curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) ==
          CURLUE_OK) {
    origin.scheme = part_of(parsed.get(), CURLUPART_SCHEME, 0);
    origin.host = part_of(parsed.get(), CURLUPART_HOST, 0);
    origin.port = part_of(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
    const bool user = !part_of(parsed.get(), CURLUPART_USER, 0).empty();
    if ((origin.scheme == "http" || origin.scheme == "https") && !origin.host.empty() && !user) {
      return origin;
    }
  }
  throw Error(ErrorCode::kIo, "address '" + shown(url) +
                                  "' found, expected http:// or https:// and a host, without a "
                                  "user");
}

bool is_this_machine(const std::string& host) {
  // An address, not a name that begins like one.
  const bool loopback =
      host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
  return loopback || host == "localhost" || host == "[::1]";
}

// Ctrl-C and lost connections aside: what another try may not meet again.
bool may_pass(CURLcode code) {
  constexpr std::array kPassing{
      CURLE_COULDNT_CONNECT,
      CURLE_OPERATION_TIMEDOUT,
      CURLE_GOT_NOTHING,
      CURLE_SEND_ERROR,
      CURLE_RECV_ERROR,
      CURLE_PARTIAL_FILE,
      CURLE_HTTP2,
      CURLE_HTTP2_STREAM,
      CURLE_HTTP3,
      CURLE_SSL_CONNECT_ERROR,
      CURLE_WEIRD_SERVER_REPLY,
      CURLE_UNSUPPORTED_PROTOCOL,  // An answer that is no HTTP is HTTP/0.9 to curl.
  };
  return std::ranges::find(kPassing, code) != kPassing.end();
}

// What the callbacks of one hop share.
struct Hop {
  CURL* curl = nullptr;
  HttpResponse* response = nullptr;
  BodySink* sink = nullptr;
  bool of_endpoint = false;
  bool begun = false;
  std::size_t header_bytes = 0;
  std::size_t dropped_bytes = 0;
  bool enough = false;  // Of a body that nobody wants.
  std::exception_ptr error;

  void read_header(std::string_view line);
  void read_body(std::string_view bytes);
  void begin_once();
};

void Hop::read_header(std::string_view line) {
  header_bytes += line.size();
  if (header_bytes > kMostHeaderBytes) {
    throw Error(ErrorCode::kLimit, "more than " + std::to_string(kMostHeaderBytes) +
                                       " bytes of headers found in an answer of " +
                                       response->origin);
  }
  if (line.starts_with("HTTP/")) {  // A new response; before it came "100 Continue" or a proxy's.
    response->headers.clear();
    return;
  }
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (of_endpoint) response->endpoint.insert_or_assign(name, value);
  response->headers.insert_or_assign(std::move(name), value);
}

void Hop::begin_once() {
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response->status);
  if (begun || response->status < 200 || response->status > 299) return;
  begun = true;
  sink->begin(*response);
}

void Hop::read_body(std::string_view bytes) {
  begin_once();
  if (begun) {
    sink->write(bytes);
    return;
  }
  dropped_bytes += bytes.size();
  enough = dropped_bytes > kMostDroppedBytes;
}

// Nothing may be thrown through libcurl.
template <class Step>
std::size_t guarded(void* user, std::size_t size, Step step) noexcept {
  Hop& hop = *static_cast<Hop*>(user);
  try {
    step(hop);
  } catch (...) {
    hop.error = std::current_exception();
  }
  return hop.error || hop.enough ? static_cast<std::size_t>(CURL_WRITEFUNC_ERROR) : size;
}

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) noexcept {
  return guarded(user, size, [&](Hop& hop) { hop.read_header({data, size}); });
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) noexcept {
  return guarded(user, size, [&](Hop& hop) { hop.read_body({data, size}); });
}

void check_token(const std::string& token) {
  if (std::ranges::any_of(token, [](char c) { return c <= 0x20 || c > 0x7e; })) {
    throw Error(ErrorCode::kBadArgument,
                "a blank or a control character found in HF_TOKEN, expected a token of letters "
                "and digits");
  }
}

}  // namespace

struct HttpClient::Curl {
  CURL* handle = nullptr;

  Curl() {
    // Once in a process; libcurl has no way to be told later that this is over.
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (initialised == CURLE_OK) handle = curl_easy_init();
    if (handle == nullptr) throw Error(ErrorCode::kUnsupported, "libcurl cannot be started");
  }
  ~Curl() { curl_easy_cleanup(handle); }
  Curl(const Curl&) = delete;
  Curl& operator=(const Curl&) = delete;
};

const std::string* HttpResponse::header(const std::string& name) const noexcept {
  const auto it = headers.find(name);
  return it == headers.end() ? nullptr : &it->second;
}

void StringSink::write(std::string_view bytes) {
  if (bytes.size() > limit_ - text.size()) {
    throw Error(ErrorCode::kLimit, what_ + ": more than " + std::to_string(limit_) +
                                       " bytes found, expected at most that many");
  }
  text += bytes;
}

HttpClient::HttpClient(HttpOptions options)
    : options_(std::move(options)), curl_(std::make_unique<Curl>()) {
  while (options_.endpoint.ends_with('/')) options_.endpoint.pop_back();
  check_token(options_.token);
  try {
    const Origin origin = origin_of(options_.endpoint);
    endpoint_origin_ = origin.text();
    sends_token_ =
        !options_.token.empty() && (origin.scheme == "https" || is_this_machine(origin.host));
  } catch (const Error& e) {
    throw Error(ErrorCode::kBadArgument, std::string("HF_ENDPOINT: ") + e.what());
  }
}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::get(const HttpRequest& request, BodySink& sink) {
  HttpResponse response;
  const double start = monotonic_seconds();
  std::string url = request.url;
  for (int hop = 0; hop <= kMostRedirects; ++hop) {
    if (request.total_seconds > 0 &&
        monotonic_seconds() - start > static_cast<double>(request.total_seconds)) {
      response.fault = "no whole answer in " + std::to_string(request.total_seconds) + " s";
      return response;
    }
    std::string next;
    follow_once(request, url, sink, response, next);
    if (next.empty()) return response;
    const Origin to = origin_of(next);
    if (request.head && to.text() != endpoint_origin_) return response;
    if (response.origin.starts_with("https:") && to.scheme != "https") {
      throw Error(ErrorCode::kIo, response.origin + ": a redirect from https to " + to.text() +
                                      " found, expected https");
    }
    url = std::move(next);
  }
  throw Error(ErrorCode::kIo, request.url + ": more than " + std::to_string(kMostRedirects) +
                                  " redirects found, expected an answer");
}

// One request and its response; `next` becomes the address that it redirects to.
void HttpClient::follow_once(const HttpRequest& request, const std::string& url, BodySink& sink,
                             HttpResponse& response, std::string& next) {
  CURL* const curl = curl_->handle;
  curl_easy_reset(curl);
  response.status = 0;
  response.origin = origin_of(url).text();
  response.headers.clear();
  Hop hop;
  hop.curl = curl;
  hop.response = &response;
  hop.sink = &sink;
  hop.of_endpoint = response.origin == endpoint_origin_;

  List lines;
  if (hop.of_endpoint && sends_token_) append(lines, "Authorization: Bearer " + options_.token);
  if (request.from > 0 && !request.if_range.empty() && response.origin == request.if_range_origin) {
    append(lines, "If-Range: " + request.if_range);
  }
  const std::string range = std::to_string(request.from) + "-";
  std::array<char, CURL_ERROR_SIZE> reason{};
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_NOBODY, request.head ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, options_.user_agent.c_str());
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, options_.connect_seconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, options_.stall_seconds);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, request.total_seconds);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason.data());
  if (request.from > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  if (lines) curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines.get());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &hop);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &hop);

  const CURLcode code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);  // It lives no longer than this function.
  if (hop.error) std::rethrow_exception(hop.error);
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
  if (code != CURLE_OK && !hop.enough) {
    const std::string said = reason[0] != '\0' ? reason.data() : curl_easy_strerror(code);
    if (!may_pass(code)) throw Error(ErrorCode::kIo, response.origin + ": " + said);
    response.fault = said;
    return;
  }
  hop.begin_once();  // A body without a byte.
  if (response.status < 300 || response.status > 399) return;
  char* location = nullptr;
  curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &location);
  if (location != nullptr) next = location;
}

}  // namespace tern::hub
