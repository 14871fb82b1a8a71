// One HTTP connection: reads requests, hands them on, writes answers; deadlines and limits.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>

#include "tern/server/exchange.h"
#include "tern/server/http_server.h"

namespace tern::server {

// What connections know of their server. Used in the I/O thread alone.
struct ConnectionHost {
  virtual ~ConnectionHost() = default;
  virtual boost::asio::io_context& io() = 0;
  virtual const HttpOptions& options() const = 0;
  virtual bool stopping() const = 0;
  virtual void handle(ExchangePtr exchange) = 0;
  virtual void answered(unsigned status) = 0;
  virtual void timed_out() = 0;
  virtual void read_too_slowly() = 0;
  virtual void closed(class Connection* connection) = 0;
};

// Kept alive by its pending operations and by the exchange under way. All in the I/O thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, std::shared_ptr<ConnectionHost> host);
  ~Connection();

  void start();
  // Instead of start(): the answer is 503, whatever is asked.
  void turn_away(const std::string& message);
  // The server stops: closes now if nothing is under way, else when it is answered.
  void wind_up();
  void close();

  // For the exchange `number`; nothing happens where that is no longer the one under way.
  void reply(std::uint64_t number, Response&& response);
  void begin_stream(std::uint64_t number, std::string_view type);
  void write(std::uint64_t number, std::string_view bytes);
  void end(std::uint64_t number);
  void add_header(std::uint64_t number, std::string name, std::string value);
  void on_gone(std::uint64_t number, std::function<void()> callback);
  ConnectionHost& host() noexcept { return *host_; }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void read_header();
  void header_read(boost::beast::error_code ec);
  void read_body();
  void body_read(boost::beast::error_code ec);
  void limit_reading(double seconds);
  void read_failed(boost::beast::error_code ec);
  void refuse(unsigned status, const std::string& message);
  void dispatch();
  void watch();
  void client_gone();

  std::string head(unsigned status, std::string_view type, const Headers& more,
                   std::optional<std::size_t> length) const;
  void send(std::string bytes);
  void flush();
  void flushed(boost::beast::error_code ec);
  void finished();
  void linger();
  void discard();

  boost::beast::tcp_stream stream_;
  std::shared_ptr<ConnectionHost> host_;
  boost::asio::steady_timer reading_;  // The deadline of a whole request.
  bool late_ = false;                  // It has passed.
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;

  // Of the exchange under way.
  std::uint64_t number_ = 0;
  bool busy_ = false;       // From a whole request to the last byte of its answer.
  bool answering_ = false;  // Whether calls of the exchange still count.
  bool streaming_ = false, whole_ = false;
  bool head_only_ = false, chunked_ = false, keep_ = true;
  Headers headers_;
  std::function<void()> on_gone_;
  std::shared_ptr<bool> watching_;  // Points to true while its watch() shall go on.

  std::string unsent_, sending_;
  bool close_after_ = false, unread_ = false, closed_ = false;
  std::size_t discarded_ = 0;
};

}  // namespace tern::server
