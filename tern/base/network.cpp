// Sockets that are opened to be asked something, and closed.
#include "tern/base/network.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <system_error>

#include "tern/base/error.h"

namespace tern {
namespace {

struct Socket {
  int fd;
  explicit Socket(int opened) noexcept : fd(opened) {}
  ~Socket() {
    if (fd >= 0) ::close(fd);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
};

std::string reason() { return std::generic_category().message(errno); }

}  // namespace

std::uint16_t free_loopback_port() {
  const Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  if (socket.fd < 0 || ::bind(socket.fd, plain, size) != 0 ||
      ::getsockname(socket.fd, plain, &size) != 0) {
    throw Error(ErrorCode::kIo, "cannot find a free port of the loopback interface: " + reason());
  }
  return ntohs(address.sin_port);
}

std::string local_address_towards(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
      error != 0) {
    throw Error(ErrorCode::kIo, host + ": cannot find its address: " + ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> found(list, ::freeaddrinfo);
  std::string why = "no address";
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    const Socket socket(::socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_storage own{};
    socklen_t size = sizeof(own);
    auto* const plain = reinterpret_cast<sockaddr*>(&own);
    std::array<char, 256> text{};
    // Connecting a datagram socket chooses the way and sends nothing.
    if (socket.fd >= 0 && ::connect(socket.fd, a->ai_addr, a->ai_addrlen) == 0 &&
        ::getsockname(socket.fd, plain, &size) == 0 &&
        ::getnameinfo(plain, size, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0) {
      return text.data();
    }
    why = reason();
  }
  throw Error(ErrorCode::kIo, host + ": no way leads there: " + why);
}

}  // namespace tern
