// The best peer's published figure of each test.
#include "tern/cli/bench_peers.h"

#include <array>

#include "tern/arch/architecture.h"

namespace tern::cli {
namespace {

constexpr std::string_view kIk = "ik_llama.cpp";
constexpr std::string_view kMs = "bitnet.cpp";

constexpr Peer read(std::string_view shape, std::string_view test, std::size_t threads,
                    std::string_view engine, double speed) {
  return {shape, test, threads, engine, speed, true, threads == 1 ? 40e9 : 46e9};
}
constexpr Peer int8(std::string_view shape, std::string_view test, std::size_t threads,
                    std::string_view engine, double speed) {
  return {shape, test, threads, engine, speed, false, threads == 1 ? 487e9 : 935e9};
}

constexpr std::array kPeers{
    read("bitnet-2b4t", "tg128", 1, kMs, 28),  read("bitnet-2b4t", "tg128", 2, kMs, 39),
    int8("bitnet-2b4t", "pp128", 1, kIk, 109), int8("bitnet-2b4t", "pp128", 2, kIk, 181),
    int8("bitnet-2b4t", "pp512", 1, kIk, 104), int8("bitnet-2b4t", "pp512", 2, kIk, 185),
    read("bitnet-2b4t", "npl1", 2, kMs, 42),   read("bitnet-2b4t", "npl2", 2, kIk, 55),
    read("bitnet-2b4t", "npl4", 2, kIk, 73),   int8("bitnet-2b4t", "npl8", 2, kIk, 77),
    int8("bitnet-2b4t", "npl16", 2, kIk, 87),  int8("bitnet-2b4t", "npl32", 2, kIk, 99),
    read("bitnet-700m", "tg128", 1, kMs, 75),  read("bitnet-700m", "tg128", 2, kIk, 111),
    int8("bitnet-700m", "pp128", 1, kIk, 304), int8("bitnet-700m", "pp128", 2, kIk, 521),
    int8("bitnet-700m", "pp512", 1, kIk, 245), int8("bitnet-700m", "pp512", 2, kIk, 491),
    read("llama3-8b", "tg128", 1, kMs, 8.9),   read("llama3-8b", "tg128", 2, kMs, 17),
    int8("llama3-8b", "pp128", 1, kIk, 40),    int8("llama3-8b", "pp128", 2, kIk, 74),
};

bool same_sizes(const arch::ModelConfig& a, const arch::ModelConfig& b) {
  return a.hidden == b.hidden && a.ffn == b.ffn && a.layers == b.layers && a.heads == b.heads &&
         a.kv_heads == b.kv_heads && a.vocab == b.vocab && a.tied_head == b.tied_head;
}

}  // namespace

const Peer* find_peer(std::string_view shape, std::string_view test, std::size_t threads) noexcept {
  for (const Peer& peer : kPeers) {
    if (peer.shape == shape && peer.test == test && peer.threads == threads) return &peer;
  }
  return nullptr;
}

std::string_view shape_of(const arch::ModelConfig& config) {
  for (const std::string_view name : arch::shape_names()) {
    if (same_sizes(config, *arch::named_shape(name))) return name;
  }
  return "";
}

}  // namespace tern::cli
