// Children that end well, badly and not at all; ports and addresses.
#include "tern/base/child_processes.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tern/base/error.h"
#include "tern/base/network.h"
#include "tern/base/system.h"

namespace tern {
namespace {

using Words = std::vector<std::string>;
using Variables = std::vector<std::pair<std::string, std::string>>;

TEST(ChildProcesses, TellHowTheyEnd) {
  ChildProcesses children;
  children.start("/bin/sh", Words{"-c", "exit 3"}, Variables{});
  children.start("/bin/sh", Words{"-c", "kill -KILL $$"}, Variables{});
  EXPECT_EQ(children.running(), 2u);
  std::set<std::size_t> seen;
  for (int i = 0; i < 2; ++i) {
    const auto ended = children.wait(30);
    ASSERT_TRUE(ended);
    seen.insert(ended->child);
    EXPECT_EQ(ended->status, ended->child == 0 ? 3 : 0);
    EXPECT_EQ(ended->signal, ended->child == 0 ? 0 : SIGKILL);
  }
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_EQ(children.running(), 0u);
  EXPECT_FALSE(children.wait(30));  // Does not wait for nobody.
}

TEST(ChildProcesses, HaveTheEnvironmentWithChanges) {
  ::setenv("TERN_TEST_KEPT", "a=b", 1);
  ::setenv("TERN_TEST_TAKEN", "x", 1);
  ChildProcesses children;
  const std::string script =
      "test \"$TERN_TEST_KEPT,${TERN_TEST_TAKEN-none},$TERN_TEST_NEW\" = 'a=b,none,1 2'";
  children.start("/bin/sh", Words{"-c", script},
                 Variables{{"TERN_TEST_TAKEN", ""}, {"TERN_TEST_NEW", "1 2"}});
  const auto ended = children.wait(30);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->status, 0);
}

TEST(ChildProcesses, EndWhenAsked) {
  ChildProcesses children;
  children.start("/bin/sleep", Words{"1000"}, Variables{});
  EXPECT_FALSE(children.wait(0.05));
  children.terminate();
  const auto ended = children.wait(30);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->signal, SIGTERM);
  const double begun = monotonic_seconds();
  {
    ChildProcesses forgotten;
    forgotten.start("/bin/sleep", Words{"1000"}, Variables{});
  }
  EXPECT_LT(monotonic_seconds() - begun, 30);
}

TEST(ChildProcesses, AProgramThatIsNotThere) {
  ChildProcesses children;
  try {
    children.start("/nowhere/tern", Words{}, Variables{});
    FAIL() << "started";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()), "/nowhere/tern: cannot start it: No such file or directory");
  }
  EXPECT_EQ(children.running(), 0u);
}

TEST(Network, AFreePortCanBeTaken) {
  const std::uint16_t port = free_loopback_port();
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(socket);
}

TEST(Network, TheWayToAHost) {
  EXPECT_EQ(local_address_towards("127.0.0.1", 1), "127.0.0.1");
  EXPECT_THROW(local_address_towards("no such host", 1), Error);
}

}  // namespace
}  // namespace tern
