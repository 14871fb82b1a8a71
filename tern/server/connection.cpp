// A connection's life, as a chain of asynchronous steps:
//
//   read_header -> (100 Continue) -> read_body -> dispatch -> [handler answers] -> flush ... ->
//   finished -> read_header, or linger and close
#include "tern/server/connection.h"

#include <algorithm>
#include <boost/asio/write.hpp>
#include <boost/beast/core/bind_handler.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/read.hpp>
#include <chrono>
#include <cstdio>

#include "tern/base/error.h"
#include "tern/server/http_error.h"

namespace tern::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using beast::error_code;
using Socket = asio::ip::tcp::socket;

// After an answer to a request that was not read to its end: how much of the rest is thrown away so
// that the client gets to read the answer before the connection is reset.
constexpr std::size_t kMostDiscarded = std::size_t{256} << 20;
constexpr double kLingerSeconds = 5;

std::chrono::nanoseconds nanoseconds(double seconds) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

std::string_view view(auto text) { return {text.data(), text.size()}; }

// An exchange outlives its connection if it must; the number tells whether it is still its turn.
class ConnectionExchange final : public Exchange {
 public:
  ConnectionExchange(std::shared_ptr<Connection> connection, std::uint64_t number, Request request)
      : connection_(std::move(connection)), number_(number), request_(std::move(request)) {}

  const Request& request() const noexcept override { return request_; }
  void reply(Response response) override { connection_->reply(number_, std::move(response)); }
  void begin_stream(std::string_view type) override { connection_->begin_stream(number_, type); }
  void write(std::string_view bytes) override { connection_->write(number_, bytes); }
  void end() override { connection_->end(number_); }
  void add_header(std::string name, std::string value) override {
    connection_->add_header(number_, std::move(name), std::move(value));
  }
  void on_gone(std::function<void()> callback) override {
    connection_->on_gone(number_, std::move(callback));
  }
  void post(std::function<void()> task) override {
    asio::post(connection_->host().io(), std::move(task));
  }

 private:
  std::shared_ptr<Connection> connection_;
  std::uint64_t number_;
  Request request_;
};

bool same_letters(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

}  // namespace

std::string_view Request::header(std::string_view name) const noexcept {
  for (const auto& [key, value] : headers) {
    if (same_letters(key, name)) return value;
  }
  return {};
}

Connection::Connection(Socket socket, std::shared_ptr<ConnectionHost> host)
    : stream_(std::move(socket)), host_(std::move(host)), reading_(host_->io()) {}

Connection::~Connection() { close(); }

void Connection::start() {
  error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  stream_.socket().non_blocking(true, ignored);  // For the look at what comes in, in watch().
  read_header();
}

void Connection::turn_away(const std::string& message) {
  error_code ignored;
  stream_.socket().non_blocking(true, ignored);
  refuse(503, message);
}

void Connection::wind_up() {
  if (busy_) {
    close_after_ = true;
  } else {
    close();
  }
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  client_gone();
  reading_.cancel();
  error_code ignored;
  stream_.socket().close(ignored);
  host_->closed(this);
}

// Beast's own deadline would close the socket; this one leaves it open for an answer.
void Connection::limit_reading(double seconds) {
  late_ = false;
  stream_.expires_never();
  reading_.expires_after(nanoseconds(seconds));
  reading_.async_wait([self = shared_from_this()](error_code ec) {
    if (ec || self->closed_) return;
    self->late_ = true;
    self->stream_.cancel();
  });
}

// The deadline that is set here holds for the header and the body together.
void Connection::read_header() {
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(host_->options().max_header));
  parser_->body_limit(host_->options().max_body);
  limit_reading(host_->options().read_seconds);
  http::async_read_header(stream_, buffer_, *parser_,
                          [self = shared_from_this()](error_code ec, std::size_t) {
                            if (!self->closed_) self->header_read(ec);
                          });
}

void Connection::header_read(error_code ec) {
  if (ec) return read_failed(ec);
  const auto& message = parser_->get();
  const auto length = parser_->content_length();
  if (length && *length > host_->options().max_body) {
    return read_failed(http::error::body_limit);
  }
  // Where its end is unknown, what follows must not be taken for the next request.
  if (message.count(http::field::transfer_encoding) > 0 && !parser_->chunked()) {
    return refuse(400,
                  "Transfer-Encoding '" +
                      std::string(view(message[http::field::transfer_encoding])).substr(0, 100) +
                      "' found, expected 'chunked'");
  }
  if (!same_letters(view(message[http::field::expect]), "100-continue")) return read_body();
  auto go_on = std::make_shared<std::string>("HTTP/1.1 100 Continue\r\n\r\n");
  asio::async_write(stream_, asio::buffer(*go_on),
                    [self = shared_from_this(), go_on](error_code failed, std::size_t) {
                      if (self->closed_) return;
                      if (failed) return self->close();
                      self->read_body();
                    });
}

void Connection::read_body() {
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](error_code ec, std::size_t) {
                     if (!self->closed_) self->body_read(ec);
                   });
}

void Connection::body_read(error_code ec) {
  if (ec) return read_failed(ec);
  dispatch();
}

void Connection::read_failed(error_code ec) {
  const HttpOptions& options = host_->options();
  const bool begun = parser_ && parser_->got_some();
  if (late_) {
    if (!begun) return close();  // Nothing has come since the last answer.
    host_->timed_out();
    return refuse(408, "a part of a request found, expected the whole within " +
                           std::to_string(static_cast<int>(options.read_seconds)) + " s");
  }
  if (ec == http::error::end_of_stream || !begun) return close();
  if (ec == http::error::body_limit) {
    return refuse(413, "a body of more than " + std::to_string(options.max_body) +
                           " bytes found, expected at most that (--max-body)");
  }
  if (ec == http::error::header_limit) {
    return refuse(431, "a header of more than " + std::to_string(options.max_header) +
                           " bytes found, expected at most that");
  }
  if (ec == http::error::partial_message) {
    return refuse(400, "the connection's end found in the middle of a request");
  }
  if (ec.category() == http::make_error_code(http::error::bad_method).category()) {
    return refuse(400, "no HTTP request found: " + ec.message());
  }
  close();
}

// Answers what never became an exchange.
void Connection::refuse(unsigned status, const std::string& message) {
  reading_.cancel();
  ++number_;
  busy_ = answering_ = true;
  keep_ = false;
  unread_ = true;
  head_only_ = chunked_ = streaming_ = whole_ = false;
  headers_.clear();
  const HttpError error(status, message);
  Response response{status, "application/json", error_body(error), {}};
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  reply(number_, std::move(response));
}

void Connection::dispatch() {
  reading_.cancel();
  auto message = parser_->release();
  parser_.reset();
  Request request;
  request.method = std::string(view(message.method_string()));
  const std::string_view target = view(message.target());
  const std::size_t mark = target.find('?');
  request.path = std::string(target.substr(0, mark));
  if (mark != std::string_view::npos) request.query = std::string(target.substr(mark + 1));
  for (const auto& field : message.base()) {
    request.headers.emplace_back(std::string(view(field.name_string())),
                                 std::string(view(field.value())));
  }
  request.body = std::move(message.body());

  ++number_;
  busy_ = answering_ = true;
  streaming_ = whole_ = unread_ = false;
  keep_ = message.keep_alive() && !host_->stopping();
  chunked_ = message.version() >= 11;
  head_only_ = request.method == "HEAD";
  headers_.clear();
  on_gone_ = nullptr;
  watch();
  host_->handle(
      std::make_shared<ConnectionExchange>(shared_from_this(), number_, std::move(request)));
}

// Whether the client is still there while its answer is being made: a connection whose other side
// is closed is one that nobody reads from any more, as other servers see it too. Bytes that come in
// are the next request, and are left alone; then only writing tells.
void Connection::watch() {
  if (watching_) *watching_ = false;
  watching_ = std::make_shared<bool>(true);
  stream_.socket().async_wait(Socket::wait_read,
                              [self = shared_from_this(), going_on = watching_](error_code ec) {
                                if (ec || !*going_on || self->closed_) return;
                                char byte;
                                const std::size_t n = self->stream_.socket().receive(
                                    asio::buffer(&byte, 1), asio::socket_base::message_peek, ec);
                                if (ec == asio::error::would_block) return self->watch();
                                const bool ended = ec == asio::error::eof || (!ec && n == 0);
                                // An answer that is whole goes out to who sends no more.
                                if (ended ? !self->whole_ : bool(ec)) self->close();
                              });
}

void Connection::client_gone() {
  if (watching_) *watching_ = false;
  const bool early = std::exchange(answering_, false);
  // Let go in any case: it may hold the exchange, which holds this.
  const auto callback = std::exchange(on_gone_, nullptr);
  if (early && callback) callback();
}

std::string Connection::head(unsigned status, std::string_view type, const Headers& more,
                             std::optional<std::size_t> length) const {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " " +
                     std::string(view(http::obsolete_reason(static_cast<http::status>(status)))) +
                     "\r\n";
  const auto line = [&](std::string_view name, std::string_view value) {
    ((text += name) += ": ") += value;
    text += "\r\n";
  };
  if (!type.empty()) line("Content-Type", type);
  if (length) {
    line("Content-Length", std::to_string(*length));
  } else if (chunked_) {
    line("Transfer-Encoding", "chunked");
  }
  for (const auto& [name, value] : headers_) line(name, value);
  for (const auto& [name, value] : more) line(name, value);
  line("Connection", keep_ && !close_after_ ? "keep-alive" : "close");
  return text + "\r\n";
}

void Connection::reply(std::uint64_t number, Response&& response) {
  if (number != number_ || !answering_ || streaming_) return;
  answering_ = false;
  whole_ = true;
  if (host_->stopping()) close_after_ = true;
  host_->answered(response.status);
  const bool empty = response.status == 204 || response.status == 304;
  const auto length = empty ? std::nullopt : std::optional(response.body.size());
  const bool was_chunked = std::exchange(chunked_, chunked_ && !empty);
  std::string bytes = head(response.status, response.type, response.headers, length);
  chunked_ = was_chunked;
  if (!head_only_ && !empty) bytes += response.body;
  send(std::move(bytes));
}

void Connection::begin_stream(std::uint64_t number, std::string_view type) {
  if (number != number_ || !answering_ || streaming_) return;
  streaming_ = true;
  host_->answered(200);
  // A stream is its connection's last answer. In HTTP/1.0 the end of the one is the end of the
  // other; and node-fetch 2, by which the openai package asks on Node 18, takes a stream on a
  // connection that lives on for one that broke ("Premature close").
  keep_ = false;
  send(head(200, type, {{"Cache-Control", "no-cache"}}, std::nullopt));
}

void Connection::write(std::uint64_t number, std::string_view bytes) {
  if (number != number_ || !answering_ || !streaming_ || bytes.empty()) return;
  if (unsent_.size() > host_->options().max_unsent) {
    host_->read_too_slowly();
    return close();
  }
  if (!chunked_) return send(std::string(bytes));
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  send(size + std::string(bytes) + "\r\n");
}

void Connection::end(std::uint64_t number) {
  if (number != number_ || !answering_ || !streaming_) return;
  answering_ = false;
  whole_ = true;
  send(chunked_ ? "0\r\n\r\n" : "");
}

void Connection::add_header(std::uint64_t number, std::string name, std::string value) {
  if (number == number_ && answering_) headers_.emplace_back(std::move(name), std::move(value));
}

void Connection::on_gone(std::uint64_t number, std::function<void()> callback) {
  if (number == number_ && answering_) {
    on_gone_ = std::move(callback);
  } else {
    callback();
  }
}

void Connection::send(std::string bytes) {
  unsent_ += bytes;
  if (sending_.empty()) flush();
}

void Connection::flush() {
  sending_ = std::exchange(unsent_, {});
  if (sending_.empty()) {
    if (whole_) finished();
    return;
  }
  stream_.expires_after(nanoseconds(host_->options().write_seconds));
  asio::async_write(stream_, asio::buffer(sending_),
                    [self = shared_from_this()](error_code ec, std::size_t) { self->flushed(ec); });
}

void Connection::flushed(error_code ec) {
  if (closed_) return;
  if (ec) {
    if (ec == beast::error::timeout) host_->read_too_slowly();
    return close();
  }
  sending_.clear();
  flush();
}

// The last byte of an answer has gone out.
void Connection::finished() {
  if (!busy_) return;
  busy_ = false;
  whole_ = streaming_ = false;
  on_gone_ = nullptr;
  if (watching_) *watching_ = false;
  if (unread_) return linger();
  if (!keep_ || close_after_) {
    error_code ignored;
    stream_.socket().shutdown(Socket::shutdown_send, ignored);
    return close();
  }
  read_header();
}

void Connection::linger() {
  error_code ignored;
  stream_.socket().shutdown(Socket::shutdown_send, ignored);
  stream_.expires_after(nanoseconds(kLingerSeconds));
  discard();
}

void Connection::discard() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(std::size_t{64} << 10),
                          [self = shared_from_this()](error_code ec, std::size_t n) {
                            if (self->closed_) return;
                            self->discarded_ += n;
                            if (ec || self->discarded_ > kMostDiscarded) return self->close();
                            self->discard();
                          });
}

}  // namespace tern::server
