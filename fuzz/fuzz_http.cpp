// Any bytes on a connection, then its end: answers that are HTTP, or none, and the connection's
// end.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#include "tern/server/api.h"
#include "tern/server/http_server.h"

namespace {

namespace asio = boost::asio;
using namespace tern::server;

// A server without a model: all of HTTP, access and routes, and 503 behind them.
class Running {
 public:
  Running()
      : api_(service_, {"key", {"https://a.example"}, {"b.example"}}),
        http_(options(), [this](ExchangePtr exchange) { api_.handle(exchange); }) {
    service_.http_counts = [this] { return http_.counts(); };
    std::thread([this] { http_.run(); }).detach();  // Until the fuzzer's end.
  }
  std::uint16_t port() const { return http_.port(); }

 private:
  static HttpOptions options() {
    HttpOptions options;
    options.port = 0;
    options.max_header = 2048;
    options.max_body = 4096;
    options.read_seconds = 1;
    return options;
  }
  Service service_;
  Api api_;
  HttpServer http_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Running& server = *new Running;
  asio::io_context io;
  asio::ip::tcp::socket socket(io);
  boost::system::error_code ec;
  socket.connect({asio::ip::address_v4::loopback(), server.port()}, ec);
  if (ec) return -1;
  socket.set_option(asio::socket_base::linger(true, 0), ec);  // No port stays taken.
  asio::write(socket, asio::buffer(data, size), ec);
  socket.shutdown(asio::ip::tcp::socket::shutdown_send, ec);
  std::string answer(1 << 16, '\0');
  std::size_t all = 0;
  ec = {};
  while (!ec && all < answer.size()) {
    all += socket.read_some(asio::buffer(answer.data() + all, answer.size() - all), ec);
  }
  answer.resize(all);
  if (!answer.empty() && !answer.starts_with("HTTP/1.1 ")) std::abort();
  return 0;
}
