// HTTP/1.1 over TCP: connections with limits on size, number and time. Knows nothing of models.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tern/server/exchange.h"

namespace tern::server {

struct HttpOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;  // 0: any free one.
  std::size_t max_header = 16 << 10;
  std::size_t max_body = 8 << 20;
  std::size_t max_connections = 1024;  // Beyond them 503 at once.
  std::size_t max_unsent = 1 << 20;    // Bytes of a stream that its reader has not taken.
  double read_seconds = 30;            // For a whole request, from its connection's last answer on.
  double write_seconds = 60;           // For a whole answer; for each part of a stream.
  double grace_seconds = 30;           // After stop() for what is under way.
};

struct HttpCounts {
  std::uint64_t connections = 0, refused = 0, timeouts = 0, slow_readers = 0;
  std::array<std::uint64_t, 6> answers{};  // With a status of 200 to 299 at [2], and so on.
  std::size_t open = 0;
};

class HttpServer {
 public:
  // Binds and listens. Throws Error(kIo) where that fails. `handler` gets every whole request that
  // is HTTP and within the limits; the others are answered here.
  HttpServer(const HttpOptions& options, Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  const std::string& address() const noexcept;  // "127.0.0.1"
  std::uint16_t port() const noexcept;

  // Serves in the calling thread until stop() and the end of what is under way then.
  void run();
  // No new connections; those that are idle are closed, others when they are answered, all after
  // the time of grace. From any thread.
  void stop();
  // Calls stop() on SIGTERM and SIGINT, and `stopping` before it, in the I/O thread. A SIGINT after
  // that ends at once what is under way; a SIGTERM does not, as supervisors may send several.
  void stop_on_signals(std::function<void()> stopping);
  // Behind run(): closes what is open and runs what was posted since, in the calling thread.
  void finish();
  HttpCounts counts() const noexcept;  // From any thread.

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace tern::server
