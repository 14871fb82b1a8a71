// HTTP over loopback: what is whole is handed on, what is not is refused, and no client can hold a
// connection, or another client, for ever.
#include "tern/server/http_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "tern/base/error.h"
#include "tern/base/json.h"
#include "tern/server/server_test_util.h"

namespace tern::server {
namespace {

using End = TestClient::End;

// "GET /a?b|body".
void echo(const ExchangePtr& exchange) {
  const Request& r = exchange->request();
  std::string text = r.method + " " + r.path + (r.query.empty() ? "" : "?" + r.query);
  exchange->reply({200, "text/plain", std::move(text) + "|" + r.body, {}});
}

std::string post(std::string_view body, std::string_view more = "") {
  return "POST /p HTTP/1.1\r\nHost: a\r\n" + std::string(more) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

constexpr std::string_view kGet = "GET /g HTTP/1.1\r\nHost: a\r\n\r\n";

// Exchanges that a test answers itself.
class Held {
 public:
  Handler handler() {
    return [this](const ExchangePtr& exchange) {
      const std::lock_guard lock(mutex_);
      held_.push_back(exchange);
    };
  }
  // The next one that comes.
  ExchangePtr next() {
    ExchangePtr exchange;
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex_);
      if (held_.empty()) return false;
      exchange = std::move(held_.front());
      held_.erase(held_.begin());
      return true;
    }));
    return exchange;
  }

 private:
  std::mutex mutex_;
  std::vector<ExchangePtr> held_;
};

void reply(const ExchangePtr& exchange, std::string body) {
  exchange->post(
      [exchange, body = std::move(body)] { exchange->reply({200, "text/plain", body, {}}); });
}

TEST(HttpServer, KeepsAConnectionForRequestsOneAfterTheOther) {
  TestServer server({}, echo);
  TestClient client = server.client();
  for (const char* path : {"/a", "/b?c=d&e", "/%20?"}) {
    client.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    const auto answer = client.answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200u);
    EXPECT_EQ(answer->header("connection"), "keep-alive");
    EXPECT_EQ(answer->body,
              "GET " + std::string(path == std::string("/%20?") ? "/%20" : path) + "|");
  }
  EXPECT_EQ(server.http.counts().connections, 1u);
  EXPECT_EQ(server.http.counts().answers[2], 3u);
  client.send("GET /z HTTP/1.1\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(client.answer());
  EXPECT_EQ(client.end(), End::kClosed);
}

TEST(HttpServer, AnswersInTheOrderOfTheRequests) {
  Held held;
  TestServer server({}, held.handler());
  TestClient client = server.client();
  client.send(post("one") + std::string(kGet) + post("three", "Connection: close\r\n"));
  for (const char* text : {"1", "2", "3"}) {
    const ExchangePtr exchange = held.next();  // The next comes after the answer to this one.
    ASSERT_TRUE(exchange);
    EXPECT_EQ(exchange->request().body, text == std::string("1") ? "one"
                                        : *text == '3'           ? "three"
                                                                 : "");
    reply(exchange, text);
  }
  for (const char* text : {"1", "2", "3"}) {
    const auto answer = client.answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->body, text);
  }
  EXPECT_EQ(client.end(), End::kClosed);
}

TEST(HttpServer, ReadsARequestThatComesByteByByte) {
  TestServer server({}, echo);
  TestClient client = server.client();
  const std::string chunked =
      "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
  for (const std::string& request : {chunked, post("body")}) {
    for (const char c : request) ASSERT_TRUE(client.send(std::string_view(&c, 1)));
  }
  client.send(chunked);
  for (const char* body : {"POST /c|abc0123456789", "POST /p|body", "POST /c|abc0123456789"}) {
    const auto answer = client.answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->body, body);
  }
}

TEST(HttpServer, HeadHasNoBody) {
  TestServer server({}, echo);
  TestClient client = server.client();
  client.send("HEAD /h HTTP/1.1\r\n\r\n" + std::string(kGet));
  const auto head = client.answer(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->header("content-length"), "8");
  const auto get = client.answer();
  ASSERT_TRUE(get);
  EXPECT_EQ(get->body, "GET /g|");
}

TEST(HttpServer, AStreamIsTheLastAnswerOfItsConnection) {
  TestServer server({}, [](const ExchangePtr& exchange) {
    if (exchange->request().path != "/stream") return echo(exchange);
    exchange->begin_stream("text/event-stream");
    exchange->write("one");
    exchange->write("");
    exchange->write("two");
    exchange->end();
    exchange->write("never");
  });
  TestClient plain = server.client();
  plain.send("GET /g HTTP/1.0\r\n\r\n");
  EXPECT_EQ(plain.answer()->header("connection"), "close");
  EXPECT_EQ(plain.end(), End::kClosed);
  TestClient kept = server.client();
  for (int i = 0; i < 2; ++i) {
    kept.send("GET /g HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    ASSERT_TRUE(kept.answer());
  }
  kept.send("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto stream = kept.answer();
  ASSERT_TRUE(stream);
  EXPECT_FALSE(stream->chunked);
  EXPECT_EQ(stream->body, "onetwo");
  EXPECT_EQ(kept.end(), End::kClosed);
  TestClient newer = server.client();
  newer.send("GET /stream HTTP/1.1\r\n\r\n");
  const auto chunks = newer.answer();
  ASSERT_TRUE(chunks);
  EXPECT_TRUE(chunks->chunked);
  EXPECT_EQ(chunks->header("content-type"), "text/event-stream");
  EXPECT_EQ(chunks->header("connection"), "close");
  EXPECT_EQ(chunks->body, "onetwo");
  EXPECT_EQ(newer.end(), End::kClosed);
}

TEST(HttpServer, SaysThatABodyMayComeWhereItMay) {
  HttpOptions options;
  options.max_body = 10;
  TestServer server(options, echo);
  TestClient client = server.client();
  client.send("POST /p HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(client.answer()->status, 100u);
  client.send("body");
  EXPECT_EQ(client.answer()->body, "POST /p|body");
  client.send("POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
  EXPECT_EQ(client.answer()->status, 413u);
  EXPECT_EQ(client.end(), End::kClosed);
}

// What is refused, and goes on sending: the answer is one, it is readable, and it is the last.
TEST(HttpServer, RefusesWhatItCannotTake) {
  HttpOptions options;
  options.max_body = 1000;
  options.max_header = 2000;
  std::atomic<int> handled{0};
  TestServer server(options, [&](const ExchangePtr& exchange) {
    ++handled;
    echo(exchange);
  });
  const std::string chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  const struct {
    std::string bytes;
    unsigned status;
  } kCases[] = {
      {"nonsense\r\n\r\n", 400},
      {std::string(100, '\0'), 400},
      {"\x16\x03\x01\x02\x01\x01", 400},  // TLS.
      {"GET / HTTP/9.9\r\n\r\n", 400},
      {"GET  HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\na b: c\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nabc", 400},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\nabc", 400},
      {chunked + "zz\r\n", 400},
      {chunked + "2\r\nabcd\r\n\r\n", 400},
      {chunked + "ffffffffffffffffff\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n", 413},
      {chunked + "3e9\r\n", 413},
      {chunked + "300\r\n" + std::string(0x300, 'x') + "\r\n300\r\n", 413},
      {"GET /" + std::string(4000, 'a') + " HTTP/1.1\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\nA: " + std::string(4000, 'a') + "\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\n" + std::string(4000, 'a'), 431},
  };
  const std::string flood(1 << 20, 'x');
  for (const auto& one : kCases) {
    for (const bool floods : {false, true}) {
      TestClient client = server.client();
      client.send(one.bytes);
      if (floods) {
        for (int i = 0; i < 4; ++i) client.send(flood);
      }
      const auto answer = client.answer();
      ASSERT_TRUE(answer) << one.bytes.substr(0, 100);
      EXPECT_EQ(answer->status, one.status) << one.bytes.substr(0, 100) << "\n" << answer->body;
      EXPECT_EQ(answer->header("connection"), "close");
      const Json error = parse_json(std::string_view(answer->body), "body").at("error");
      EXPECT_FALSE(error.at("message").get<std::string>().empty());
      EXPECT_EQ(error.at("type"), "invalid_request_error");
      client.half_close();
      EXPECT_EQ(client.end(), End::kClosed) << one.bytes.substr(0, 100);
    }
  }
  EXPECT_EQ(handled, 0);
  EXPECT_TRUE(eventually([&] { return server.http.counts().open == 0; }));
}

TEST(HttpServer, ARequestWithoutItsEndIsNone) {
  TestServer server({}, echo);
  for (const std::string text :
       {"GET /", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"}) {
    TestClient client = server.client();
    client.send(text);
    client.half_close();
    const auto answer = client.answer();
    ASSERT_TRUE(answer) << text;
    EXPECT_EQ(answer->status, 400u) << text;
    EXPECT_EQ(client.end(), End::kClosed);
  }
  TestClient client = server.client();  // Nothing at all is no fault.
  client.half_close();
  EXPECT_EQ(client.end(), End::kClosed);
}

TEST(HttpServer, WhoIsTooSlowIsToldSoAndWhoIsSilentIsNot) {
  HttpOptions options;
  options.read_seconds = 0.2;
  TestServer server(options, echo);
  for (const std::string text :
       {"G", "GET / HTTP/1.1\r\nA: b\r\n", "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na"}) {
    TestClient client = server.client();
    client.send(text);
    const auto answer = client.answer();
    ASSERT_TRUE(answer) << text;
    EXPECT_EQ(answer->status, 408u) << text;
    client.half_close();
    EXPECT_EQ(client.end(), End::kClosed);
  }
  EXPECT_EQ(server.http.counts().timeouts, 4u);
  TestClient silent = server.client();
  EXPECT_EQ(silent.end(), End::kClosed);
  TestClient idle = server.client();
  idle.send(kGet);
  ASSERT_TRUE(idle.answer());
  EXPECT_EQ(idle.end(), End::kClosed);
  EXPECT_EQ(server.http.counts().timeouts, 4u);
}

// A header every now and then does not begin the time anew.
TEST(HttpServer, DrippingDoesNotHelp) {
  HttpOptions options;
  options.read_seconds = 0.3;
  TestServer server(options, echo);
  TestClient client = server.client();
  client.send("GET / HTTP/1.1\r\n");
  EXPECT_TRUE(eventually([&] {
    client.send("A: b\r\n");
    return server.http.counts().timeouts == 1;
  }));
  EXPECT_EQ(client.answer()->status, 408u);
}

TEST(HttpServer, TooManyConnectionsAreTurnedAway) {
  HttpOptions options;
  options.max_connections = 2;
  TestServer server(options, echo);
  TestClient first = server.client(), second = server.client();
  EXPECT_TRUE(eventually([&] { return server.http.counts().open == 2; }));
  for (const bool silent : {true, false}) {
    TestClient third = server.client();
    if (!silent) {
      EXPECT_TRUE(third.send(post(std::string(8 << 20, 'x'))));
    }
    third.half_close();
    const auto answer = third.answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 503u);
    EXPECT_EQ(answer->header("retry-after"), "1");
    EXPECT_EQ(answer->header("connection"), "close");
    EXPECT_EQ(parse_json(std::string_view(answer->body), "body")["error"]["type"], "server_error");
    EXPECT_EQ(third.end(), End::kClosed);
  }
  EXPECT_EQ(server.http.counts().refused, 2u);
  first.send(kGet);
  EXPECT_TRUE(first.answer());
  first.close();
  // There is room again.
  EXPECT_TRUE(eventually([&] {
    TestClient next = server.client();
    next.send(kGet);
    const auto answer = next.answer();
    return answer && answer->status == 200;
  }));
  second.send(kGet);
  EXPECT_TRUE(second.answer());
}

TEST(HttpServer, ThatAClientHasGoneIsToldOnce) {
  Held held;
  TestServer server({}, held.handler());
  std::atomic<int> gone{0}, late{0}, answered{0};
  for (const bool reset : {false, true}) {
    TestClient client = server.client();
    client.send(kGet);
    const ExchangePtr exchange = held.next();
    exchange->post([&, exchange] {
      exchange->on_gone([&] { ++gone; });
      exchange->begin_stream("text/plain");
      exchange->write("x");
    });
    EXPECT_TRUE(client.take_through("x"));
    const int before = gone;
    reset ? client.reset() : client.close();
    EXPECT_TRUE(eventually([&] { return gone == before + 1; }));
    exchange->post([&, exchange] {
      exchange->write("y");  // All of these do nothing.
      exchange->end();
      exchange->reply({});
      exchange->add_header("a", "b");
      exchange->on_gone([&] { ++late; });  // At once.
    });
    EXPECT_TRUE(eventually([&] { return late == before + 1; }));
  }
  TestClient client = server.client();
  client.send(kGet);
  const ExchangePtr exchange = held.next();
  exchange->post([&, exchange] { exchange->on_gone([&] { ++answered; }); });
  reply(exchange, "whole");
  ASSERT_TRUE(client.answer());
  client.close();
  EXPECT_TRUE(eventually([&] { return server.http.counts().open == 0; }));
  server.stop();
  EXPECT_EQ(gone, 2);
  EXPECT_EQ(answered, 0);
}

// Whatever becomes of the answer's last bytes, nothing of its exchange is kept.
TEST(HttpServer, WhatAnExchangeHoldsIsLetGo) {
  HttpOptions options;
  options.write_seconds = 0.2;
  Held held;
  TestServer server(options, held.handler());
  for (const bool stream : {false, true}) {
    for (const bool taken : {false, true}) {
      const auto token = std::make_shared<int>(0);
      const std::weak_ptr<Exchange> watched = [&] {
        TestClient client = server.client();
        client.send(post("x", "Connection: close\r\n"));
        ExchangePtr exchange = held.next();
        exchange->post([exchange, token, stream, text = std::string(taken ? 10 : 16 << 20, 'x')] {
          exchange->on_gone([token, exchange] {});  // As an endpoint's would: a circle.
          if (!stream) return exchange->reply({200, "text/plain", text, {}});
          exchange->begin_stream("text/plain");
          exchange->write(text);
          exchange->end();
        });
        if (taken) {
          EXPECT_EQ(client.answer()->body.size(), 10u);
        } else {
          EXPECT_TRUE(client.take(1));
        }
        EXPECT_TRUE(eventually([&] { return server.http.counts().open == 0; }));
        return exchange;
      }();
      EXPECT_TRUE(eventually([&] { return token.use_count() == 1; })) << stream << taken;
      EXPECT_TRUE(eventually([&] { return watched.expired(); })) << stream << taken;
    }
  }
  EXPECT_EQ(server.http.counts().slow_readers, 2u);
}

TEST(HttpServer, AHalfClosedClientGetsWhatIsReadyAndNoMore) {
  Held held;
  const std::string much(8 << 20, 'm');
  TestServer server({}, [&](const ExchangePtr& exchange) {
    if (exchange->request().path != "/g") return held.handler()(exchange);
    exchange->reply({200, "text/plain", much, {}});
  });
  TestClient ready = server.client();
  ready.send(kGet);
  ready.half_close();
  const auto answer = ready.answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body.size(), much.size());
  EXPECT_EQ(ready.end(), End::kClosed);
  // One whose answer takes long is as one that has gone.
  TestClient waiting = server.client();
  waiting.send(post("x"));
  std::atomic<bool> gone{false};
  const ExchangePtr exchange = held.next();
  exchange->post([&, exchange] { exchange->on_gone([&] { gone = true; }); });
  waiting.half_close();
  EXPECT_TRUE(eventually([&] { return gone.load(); }));
  EXPECT_EQ(waiting.end(), End::kClosed);
}

TEST(HttpServer, WhoDoesNotReadHoldsUpNobody) {
  HttpOptions options;
  options.max_unsent = 64 << 10;
  Held held;
  TestServer server(options, held.handler());
  TestClient stuck = server.client();
  stuck.send(kGet);
  const ExchangePtr one = held.next();
  TestClient reader = server.client();
  reader.send(kGet);
  const ExchangePtr other = held.next();
  std::atomic<int> gone{0};
  one->post([&, one, other] {
    one->on_gone([&] { ++gone; });
    one->begin_stream("text/plain");
    other->begin_stream("text/plain");
  });
  const std::string part(16 << 10, 'p');
  std::size_t parts = 0;
  std::thread reading([&] {
    const auto answer = reader.answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->body.size(), parts * part.size());
  });
  // The reader may be slow too, so that it is given a part only when it has room for it.
  for (; gone == 0 && parts < 4096; ++parts) {
    std::atomic<bool> written{false};
    one->post([&, one, other] {
      for (int i = 0; i < 4; ++i) one->write(part);
      other->write(part);
      written = true;
    });
    ASSERT_TRUE(eventually([&] { return written.load(); }));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(gone, 1);
  other->post([other] { other->end(); });
  reading.join();
  EXPECT_EQ(server.http.counts().slow_readers, 1u);
}

TEST(HttpServer, StopsWhenWhatIsUnderWayIsAnswered) {
  Held held;
  TestServer server({}, held.handler());
  TestClient idle = server.client(), half = server.client(), busy = server.client(),
             streamed = server.client();
  half.send("GET / HTTP/1.1\r\n");
  busy.send(std::string(kGet) + std::string(kGet));
  const ExchangePtr answer_later = held.next();
  streamed.send(kGet);
  const ExchangePtr stream = held.next();
  stream->post([stream] {
    stream->begin_stream("text/plain");
    stream->write("first ");
  });
  ASSERT_TRUE(streamed.take_through("first "));
  server.http.stop();
  EXPECT_EQ(idle.end(), End::kClosed);
  EXPECT_NE(half.end(), End::kWaited);
  EXPECT_TRUE(eventually([&] { return server.http.counts().open == 2; }));
  EXPECT_ANY_THROW(server.client());
  reply(answer_later, "last");
  stream->post([stream] {
    stream->write("second");
    stream->end();
  });
  const auto last = busy.answer();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->body, "last");
  EXPECT_EQ(last->header("connection"), "close");
  EXPECT_EQ(busy.end(), End::kClosed);
  EXPECT_NE(streamed.rest().find("second\r\n0\r\n\r\n"), std::string::npos);
  server.stop();
  EXPECT_EQ(server.http.counts().open, 0u);
}

TEST(HttpServer, StopsAfterTheTimeOfGrace) {
  HttpOptions options;
  options.grace_seconds = 0.2;
  Held held;
  TestServer server(options, held.handler());
  TestClient never = server.client();
  never.send(kGet);
  const ExchangePtr exchange = held.next();
  std::atomic<int> gone{0};
  exchange->post([&, exchange] { exchange->on_gone([&] { ++gone; }); });
  server.stop();  // Returns.
  EXPECT_EQ(gone, 1);
  EXPECT_EQ(server.http.counts().open, 0u);
  EXPECT_EQ(never.end(), End::kClosed);
  exchange->post([exchange] { exchange->reply({}); });  // Nobody is there to run it.
}

TEST(HttpServer, StopsBeforeItRunsAndWithoutRunning) {
  HttpOptions options;
  options.port = 0;
  HttpServer stopped(options, echo);
  stopped.stop();
  stopped.stop();
  stopped.run();
  HttpServer unused(options, echo);
  EXPECT_NE(unused.port(), 0);
  EXPECT_EQ(unused.address(), "127.0.0.1");
}

TEST(HttpServer, SaysWhereItCannotListen) {
  HttpOptions options;
  options.port = 0;
  const HttpServer first(options, echo);
  options.port = first.port();
  EXPECT_THROW(HttpServer(options, echo), Error);
  options.host = "no.such.host.invalid";
  EXPECT_THROW(HttpServer(options, echo), Error);
  options.host = "203.0.113.7";  // An address of documents.
  EXPECT_THROW(HttpServer(options, echo), Error);
}

// Many clients at once that leave at every moment: nothing is left of them.
TEST(HttpServer, NoConnectionIsLeft) {
  HttpOptions options;
  options.max_unsent = 32 << 10;
  std::atomic<int> begun{0}, gone{0}, ended{0};
  TestServer server(options, [&](const ExchangePtr& exchange) {
    ++begun;
    exchange->on_gone([&] { ++gone; });
    exchange->begin_stream("text/plain");
    const auto go_on = std::make_shared<std::function<void(int)>>();
    *go_on = [&, exchange, self = std::weak_ptr(go_on)](int left) {
      exchange->write(std::string(1000, 'x'));
      if (left == 0) {
        exchange->end();
        ++ended;
        return;
      }
      exchange->post([again = self.lock(), left] { (*again)(left - 1); });
    };
    (*go_on)(20);
  });
  std::vector<std::thread> clients;
  for (unsigned seed = 0; seed < 4; ++seed) {
    clients.emplace_back([&, seed] {
      for (unsigned i = 0; i < 40; ++i) {
        TestClient client = server.client();
        client.send(kGet.substr(0, (i + seed) % 3 == 0 ? 10 : kGet.size()));
        if ((i + seed) % 3 == 2) client.take(1 + 400 * i);
        if (i % 5 == seed) client.reset();
      }
    });
  }
  for (std::thread& client : clients) client.join();
  // The last clients may have gone before the server came to take them.
  EXPECT_TRUE(eventually([&] { return server.http.counts().connections == 160u; }));
  EXPECT_TRUE(eventually([&] { return server.http.counts().open == 0; }));
  EXPECT_TRUE(eventually([&] { return ended == begun; }));
  server.stop();
  EXPECT_LE(gone, begun);
}

TEST(Request, FindsHeadersWhateverTheirCase) {
  const Request request{"GET", "/", "", {{"HOST", "a"}, {"host", "b"}, {"X-Api-Key", ""}}, ""};
  EXPECT_EQ(request.header("Host"), "a");
  EXPECT_EQ(request.header("x-api-key"), "");
  EXPECT_EQ(request.header("Hos"), "");
}

}  // namespace
}  // namespace tern::server
