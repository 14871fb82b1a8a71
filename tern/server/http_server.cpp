// Listening, the set of connections, and the end.
#include "tern/server/http_server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/strand.hpp>
#include <unordered_set>

#include "tern/base/error.h"
#include "tern/server/connection.h"

namespace tern::server {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kMostLeaving = 64;                      // Beyond them no answer at all.
constexpr std::chrono::milliseconds kPauseAfterFailure{100};  // Where no file is left to accept by.

tcp::endpoint endpoint_of(asio::io_context& io, const HttpOptions& options) {
  error_code ec;
  const auto address = asio::ip::make_address(options.host, ec);
  if (!ec) return {address, options.port};
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(options.host, std::to_string(options.port), ec);
  if (ec || found.empty()) {
    throw Error(ErrorCode::kIo, "host '" + options.host + "': " + ec.message() +
                                    ", expected an address of this machine or a name of one");
  }
  return found.begin()->endpoint();
}

}  // namespace

struct HttpServer::Impl final : ConnectionHost, std::enable_shared_from_this<HttpServer::Impl> {
  HttpOptions settings;
  Handler handler;
  asio::io_context context{1};
  tcp::acceptor acceptor{context};
  asio::steady_timer pause{context}, grace{context};
  asio::signal_set signals{context};
  std::unordered_set<Connection*> connections, leaving;  // leaving: those that are turned away.
  bool is_stopping = false;
  std::string address;
  std::uint16_t port = 0;
  std::function<void()> on_signal;
  std::atomic<std::uint64_t> accepted{0}, refused{0}, timeouts{0}, slow_readers{0};
  std::array<std::atomic<std::uint64_t>, 6> answers{};
  std::atomic<std::size_t> open{0};

  asio::io_context& io() override { return context; }
  const HttpOptions& options() const override { return settings; }
  bool stopping() const override { return is_stopping; }
  void handle(ExchangePtr exchange) override { handler(std::move(exchange)); }
  void answered(unsigned status) override { ++answers[std::min(status / 100, 5u)]; }
  void timed_out() override { ++timeouts; }
  void read_too_slowly() override { ++slow_readers; }
  void closed(Connection* connection) override {
    connections.erase(connection);
    leaving.erase(connection);
    open = connections.size();
    if (is_stopping && none_left()) done();
  }

  void listen() {
    const tcp::endpoint endpoint = endpoint_of(context, settings);
    error_code ec;
    const auto check = [&](const char* what) {
      if (!ec) return;
      throw Error(ErrorCode::kIo, settings.host + ":" + std::to_string(settings.port) + ": " +
                                      what + ": " + ec.message());
    };
    acceptor.open(endpoint.protocol(), ec);
    check("cannot open a socket");
    acceptor.set_option(asio::socket_base::reuse_address(true), ec);
    acceptor.bind(endpoint, ec);
    check("cannot listen there");
    acceptor.listen(asio::socket_base::max_listen_connections, ec);
    check("cannot listen there");
    address = acceptor.local_endpoint().address().to_string();
    port = acceptor.local_endpoint().port();
  }

  void accept() {
    acceptor.async_accept([self = shared_from_this()](error_code ec, tcp::socket socket) {
      if (self->is_stopping || ec == asio::error::operation_aborted) return;
      if (ec) {  // Mostly: no file descriptor is left. It passes as connections close.
        self->pause.expires_after(kPauseAfterFailure);
        self->pause.async_wait([self](error_code stopped) {
          if (!stopped) self->accept();
        });
        return;
      }
      self->take(std::move(socket));
      self->accept();
    });
  }

  void take(tcp::socket socket) {
    const bool full = connections.size() >= settings.max_connections;
    ++(full ? refused : accepted);
    if (full && leaving.size() >= kMostLeaving) return;
    const auto connection = std::make_shared<Connection>(std::move(socket), shared_from_this());
    (full ? leaving : connections).insert(connection.get());
    if (full) {
      connection->turn_away(std::to_string(settings.max_connections) +
                            " connections are open, which is the limit");
    } else {
      open = connections.size();
      connection->start();
    }
  }

  void stop() {
    if (is_stopping) return;
    is_stopping = true;
    error_code ignored;
    acceptor.close(ignored);
    pause.cancel();
    for_all([](Connection& connection) { connection.wind_up(); });
    if (none_left()) return done();
    grace.expires_after(
        std::chrono::milliseconds(static_cast<std::int64_t>(settings.grace_seconds * 1e3)));
    grace.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec) self->close_all();
    });
  }

  void close_all() {
    for_all([](Connection& connection) { connection.close(); });
  }

  bool none_left() const { return connections.empty() && leaving.empty(); }

  void for_all(const std::function<void(Connection&)>& call) {
    auto all = connections;  // What is called may change the sets.
    all.insert(leaving.begin(), leaving.end());
    for (Connection* connection : all) {
      if (connections.contains(connection) || leaving.contains(connection)) call(*connection);
    }
  }

  void done() {
    grace.cancel();
    error_code ignored;
    signals.cancel(ignored);
    // What was posted before is still run; nothing else keeps run() from its end.
  }

  void wait_for_signal() {
    signals.async_wait([self = shared_from_this()](error_code ec, int signal) {
      if (ec) return;
      if (!self->is_stopping) {
        if (self->on_signal) self->on_signal();
        self->stop();
      } else if (signal == SIGINT) {
        self->close_all();
      }
      if (!self->none_left()) self->wait_for_signal();
    });
  }
};

HttpServer::HttpServer(const HttpOptions& options, Handler handler)
    : impl_(std::make_shared<Impl>()) {
  impl_->settings = options;
  impl_->handler = std::move(handler);
  impl_->listen();
}

HttpServer::~HttpServer() {
  finish();
  impl_->handler = nullptr;
}

// What waits holds what it waits for: all of it is told that it waits no longer.
void HttpServer::finish() {
  impl_->stop();
  impl_->close_all();
  impl_->done();
  impl_->context.restart();
  impl_->context.poll();
}

const std::string& HttpServer::address() const noexcept { return impl_->address; }
std::uint16_t HttpServer::port() const noexcept { return impl_->port; }

void HttpServer::run() {
  impl_->accept();
  impl_->context.run();
}

void HttpServer::stop() {
  asio::post(impl_->context, [impl = impl_] { impl->stop(); });
}

void HttpServer::stop_on_signals(std::function<void()> stopping) {
  impl_->on_signal = std::move(stopping);
  impl_->signals.add(SIGTERM);
  impl_->signals.add(SIGINT);
  impl_->wait_for_signal();
}

HttpCounts HttpServer::counts() const noexcept {
  HttpCounts counts{impl_->accepted, impl_->refused, impl_->timeouts, impl_->slow_readers, {},
                    impl_->open};
  for (std::size_t i = 0; i < counts.answers.size(); ++i) counts.answers[i] = impl_->answers[i];
  return counts;
}

}  // namespace tern::server
