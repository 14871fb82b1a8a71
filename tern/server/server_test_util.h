// For tests of the server: a client that sends what bytes it likes and never waits for ever, and a
// server in a thread of its own.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tern/server/http_server.h"

namespace tern::server {

constexpr std::chrono::seconds kPatience{30};  // Only a test that fails waits so long.

// Waits until `holds()`; false where it never does.
template <typename Holds>
bool eventually(const Holds& holds) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

struct Answer {
  unsigned status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // Names in small letters.
  std::string body;
  bool chunked = false;
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return value;
    }
    return "";
  }
};

class TestClient {
 public:
  enum class End { kNone, kClosed, kReset, kWaited };

  explicit TestClient(std::uint16_t port) : socket_(io_) {
    socket_.connect({boost::asio::ip::address_v4::loopback(), port});
  }

  // False where the other side takes no more.
  bool send(std::string_view bytes) {
    boost::system::error_code ec;
    boost::asio::write(socket_, boost::asio::buffer(bytes), ec);
    return !ec;
  }
  void half_close() { socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send); }
  void close() { socket_.close(); }
  // Closed so that the other side's next write, or read, fails at once.
  void reset() {
    socket_.set_option(boost::asio::socket_base::linger(true, 0));
    socket_.close();
  }

  // One answer; nullopt where the connection ends before its end, or what came is no HTTP.
  std::optional<Answer> answer(bool to_head = false) {
    Answer answer;
    const auto head = take_through("\r\n\r\n");
    if (!head || !read_head(*head, answer)) return std::nullopt;
    if (to_head || answer.status / 100 == 1 || answer.status == 204) return answer;
    if (answer.chunked) return read_chunks(answer) ? std::optional(answer) : std::nullopt;
    if (const std::string length = answer.header("content-length"); !length.empty()) {
      auto body = take(std::stoul(length));
      if (!body) return std::nullopt;
      answer.body = std::move(*body);
      return answer;
    }
    answer.body = rest();
    return answer;
  }
  // Everything up to the end of the connection.
  std::string rest() {
    while (more()) {
    }
    return std::exchange(held_, {});
  }
  // How the connection ended; reads up to there, and expects nothing on the way.
  End end() {
    EXPECT_EQ(rest(), "");
    return end_;
  }
  std::optional<std::string> take(std::size_t count) {
    while (held_.size() < count) {
      if (!more()) return std::nullopt;
    }
    std::string text = held_.substr(0, count);
    held_.erase(0, count);
    return text;
  }
  std::optional<std::string> take_through(std::string_view mark) {
    std::size_t at;
    while ((at = held_.find(mark)) == std::string::npos) {
      if (!more()) return std::nullopt;
    }
    return take(at + mark.size());
  }

 private:
  bool more() {
    if (end_ != End::kNone) return false;
    char bytes[16384];
    std::optional<boost::system::error_code> read;
    std::size_t count = 0;
    socket_.async_read_some(boost::asio::buffer(bytes),
                            [&](boost::system::error_code ec, std::size_t n) {
                              read = ec;
                              count = n;
                            });
    io_.restart();
    io_.run_for(kPatience);
    if (!read) {
      socket_.cancel();
      io_.restart();
      io_.run();
      end_ = End::kWaited;
      return false;
    }
    held_.append(bytes, count);
    if (*read) end_ = *read == boost::asio::error::eof ? End::kClosed : End::kReset;
    return count > 0;
  }

  static bool read_head(std::string_view head, Answer& answer) {
    if (!head.starts_with("HTTP/1.1 ") || head.size() < 13) return false;
    answer.status = static_cast<unsigned>(std::stoul(std::string(head.substr(9, 3))));
    head.remove_prefix(head.find("\r\n") + 2);
    while (!head.starts_with("\r\n")) {
      const std::string_view line = head.substr(0, head.find("\r\n"));
      const std::size_t colon = line.find(": ");
      if (colon == std::string_view::npos) return false;
      std::string name(line.substr(0, colon));
      std::ranges::transform(name, name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      });
      if (!answer.header(name).empty()) return false;  // None of ours comes twice.
      answer.headers.emplace_back(std::move(name), std::string(line.substr(colon + 2)));
      head.remove_prefix(line.size() + 2);
    }
    answer.chunked = answer.header("transfer-encoding") == "chunked";
    return true;
  }
  bool read_chunks(Answer& answer) {
    for (;;) {
      const auto line = take_through("\r\n");
      if (!line) return false;
      const std::size_t size = std::stoul(*line, nullptr, 16);
      const auto chunk = take(size + 2);
      if (!chunk || !chunk->ends_with("\r\n")) return false;
      if (size == 0) return true;
      answer.body += chunk->substr(0, size);
    }
  }

  boost::asio::io_context io_;
  boost::asio::ip::tcp::socket socket_;
  std::string held_;
  End end_ = End::kNone;
};

// Runs from its making to its end, or to stop().
class TestServer {
 public:
  TestServer(HttpOptions options, Handler handler)
      : http(local(options), std::move(handler)), thread_([this] { http.run(); }) {}
  ~TestServer() { stop(); }
  void stop() {
    http.stop();
    if (thread_.joinable()) thread_.join();
  }
  TestClient client() const { return TestClient(http.port()); }

  HttpServer http;

 private:
  static HttpOptions local(HttpOptions options) {
    options.port = 0;
    return options;
  }
  std::thread thread_;
};

}  // namespace tern::server
