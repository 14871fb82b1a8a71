// One HTTP request and the way of its answer, as the endpoints see them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tern::server {

struct Request {
  std::string method, path, query;  // Of "GET /a?b": "GET", "/a", "b".
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;

  // The first header of that name, whatever its case; empty where there is none.
  std::string_view header(std::string_view name) const noexcept;
};

// "%E3%81%82" as its bytes; what is no such escape stays.
std::string decode_path(std::string_view path);

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Response {
  unsigned status = 200;
  std::string type = "application/json";
  std::string body;
  Headers headers;  // More of them.
};

// The I/O thread's, but for post() and request(). Either reply() once, or begin_stream(), write()
// as often as needed and end(); a stream is the last answer of its connection. Once the client has
// gone, all of these do nothing.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const Request& request() const noexcept = 0;
  virtual void reply(Response response) = 0;
  virtual void begin_stream(std::string_view type) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void end() = 0;
  // Headers that every answer of this exchange has.
  virtual void add_header(std::string name, std::string value) = 0;
  // Called once if the client goes away before the answer's end; at once where it has gone already.
  virtual void on_gone(std::function<void()> callback) = 0;
  // Runs `task` in the I/O thread, later; from any thread.
  virtual void post(std::function<void()> task) = 0;
};

using ExchangePtr = std::shared_ptr<Exchange>;
// Called in the I/O thread for each request; must be quick and throw nothing.
using Handler = std::function<void(ExchangePtr)>;

}  // namespace tern::server
