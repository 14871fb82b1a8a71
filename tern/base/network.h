// What a program asks of the network before another library uses it: a free port, its own address.
#pragma once

#include <cstdint>
#include <string>

namespace tern {

// A TCP port of the loopback interface that nobody listens on now; somebody may a moment later.
// Throws Error(kIo).
std::uint16_t free_loopback_port();

// The address of this machine from which packets to `host` leave ("10.0.0.2"): where the programs
// that can reach `host` can reach this one. Sends nothing. Throws Error(kIo) naming `host` where it
// has no address or no way leads there.
std::string local_address_towards(const std::string& host, std::uint16_t port);

}  // namespace tern
