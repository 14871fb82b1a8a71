// OpenSSL's EVP digests.
#include "tern/hub/content_hash.h"

#include <openssl/evp.h>

#include <array>

#include "tern/base/error.h"

namespace tern::hub {
namespace {

void must(int done) {
  if (done != 1) {
    throw Error(ErrorCode::kUnsupported,
                "OpenSSL here computes no SHA-1 or SHA-256, expected both: downloads cannot be "
                "checked");
  }
}

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

}  // namespace

struct ContentHash::State {
  std::unique_ptr<EVP_MD_CTX, FreeContext> context{EVP_MD_CTX_new()};
};

ContentHash::ContentHash(std::string_view expected, std::uint64_t size)
    : state_(std::make_unique<State>()) {
  const bool git = expected.size() == 40;
  must(EVP_DigestInit_ex(state_->context.get(), git ? EVP_sha1() : EVP_sha256(), nullptr));
  if (git) update(std::string("blob ") + std::to_string(size) + '\0');
}

ContentHash::~ContentHash() = default;

void ContentHash::update(std::string_view bytes) {
  must(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

std::string ContentHash::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  must(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size));
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace tern::hub
