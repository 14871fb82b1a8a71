// Who may ask: hosts, origins and keys, and those that only look right.
#include "tern/server/access.h"

#include <gtest/gtest.h>

#include "tern/server/http_error.h"

namespace tern::server {
namespace {

Request with(Headers headers) { return {"GET", "/", "", std::move(headers), ""}; }

// 0: let through.
unsigned refused(const Request& request, const AccessRules& rules) {
  try {
    check_sender(request, rules);
    check_key(request, rules);
    return 0;
  } catch (const HttpError& e) {
    return e.status();
  }
}

TEST(Access, AHostIsAnAddressOrAKnownName) {
  const AccessRules rules{"", {}, {"tern.example.org"}};
  for (const char* host :
       {"127.0.0.1", "127.0.0.1:8080", "10.1.2.3:80", "[::1]", "[::1]:8080", "[fe80::1%2]:1",
        "localhost", "LocalHost:8080", "a.localhost", "tern.example.org", "TERN.example.ORG:443"}) {
    EXPECT_EQ(refused(with({{"hOST", host}}), rules), 0u) << host;
  }
  for (const std::string& host :
       {std::string("evil.com"), std::string("127.0.0.1.evil.com"),
        std::string("localhost.evil.com"), std::string("evillocalhost"),
        std::string("x.tern.example.org"), std::string("[::1"), std::string(":8080"),
        std::string("[evil.com]"), std::string("127.0.0.1@evil.com"), std::string("1e.com"),
        std::string(10000, 'a')}) {
    EXPECT_EQ(refused(with({{"Host", host}}), rules), 403u) << host.substr(0, 50);
  }
  EXPECT_EQ(refused(with({}), rules), 0u);  // HTTP/1.0; no browser leaves it out.
  EXPECT_EQ(refused(with({{"Host", "evil.com"}}), {"", {}, {"*"}}), 0u);
}

TEST(Access, AnOriginIsThisServerOrAllowed) {
  const AccessRules rules{"", {"https://page.example"}, {}};
  const auto asked = [&](const std::string& host, const std::string& origin) {
    return refused(with({{"Host", host}, {"Origin", origin}}), rules);
  };
  EXPECT_EQ(asked("localhost:8080", "http://localhost:8080"), 0u);
  EXPECT_EQ(asked("[::1]:8080", "http://[::1]:8080"), 0u);
  EXPECT_EQ(asked("localhost:8080", "https://PAGE.example"), 0u);
  for (const char* origin :
       {"null", "http://evil.com", "http://localhost", "http://localhost:80", "localhost:8080",
        "https://page.example.evil.com", "://", "http://localhost:8080.evil.com"}) {
    EXPECT_EQ(asked("localhost:8080", origin), 403u) << origin;
  }
  EXPECT_EQ(refused(with({{"Origin", "http://"}}), rules), 403u);
  EXPECT_EQ(cors_origin(with({{"Origin", "https://page.example"}}), rules), "https://page.example");
  EXPECT_EQ(cors_origin(with({{"Origin", "https://other.example"}}), rules), "");
}

TEST(Access, TheKeyIsAskedFor) {
  const AccessRules rules{"secret", {}, {}};
  for (const auto& [name, value] : Headers{{"Authorization", "Bearer secret"},
                                           {"authorization", "bEARER secret"},
                                           {"X-Api-Key", "secret"}}) {
    EXPECT_EQ(refused(with({{name, value}}), rules), 0u) << name << value;
  }
  for (const auto& [name, value] : Headers{{"Authorization", "secret"},
                                           {"Authorization", "Bearer "},
                                           {"Authorization", "Bearer secret2"},
                                           {"Authorization", "Bearer secre"},
                                           {"Authorization", "Basic secret"},
                                           {"x-api-key", "secretsecret"},
                                           {"x-api-key", std::string(10000, 's')},
                                           {"other", "secret"}}) {
    EXPECT_EQ(refused(with({{name, value}}), rules), 401u) << name << value.substr(0, 50);
  }
  EXPECT_TRUE(same_secret("", ""));
  EXPECT_FALSE(same_secret("a", ""));
  EXPECT_FALSE(same_secret("", "a"));
}

TEST(DecodePath, LeavesWhatIsNoEscape) {
  EXPECT_EQ(decode_path("a%20b%e3%81%82"), "a b\xE3\x81\x82");
  EXPECT_EQ(decode_path("%"), "%");
  EXPECT_EQ(decode_path("%4"), "%4");
  EXPECT_EQ(decode_path("%zz%41"), "%zzA");
}

}  // namespace
}  // namespace tern::server
