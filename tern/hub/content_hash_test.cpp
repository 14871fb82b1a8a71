// Published digests: FIPS 180-2's examples, and what `git hash-object` prints.
#include "tern/hub/content_hash.h"

#include <gtest/gtest.h>

namespace tern::hub {
namespace {

std::string hash(std::size_t digits, std::string_view text, std::size_t cut = 0) {
  ContentHash hash(std::string(digits, '0'), text.size());
  hash.update(text.substr(0, cut));
  hash.update(text.substr(cut));
  return hash.finish();
}

TEST(ContentHash, Sha256) {
  EXPECT_EQ(hash(64, ""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash(64, "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash(64, "abc", 2), hash(64, "abc"));
  EXPECT_EQ(hash(64, std::string(1000000, 'a'), 333),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(ContentHash, GitBlob) {
  EXPECT_EQ(hash(40, ""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(hash(40, "hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
  EXPECT_EQ(hash(40, "hello\n", 3), "ce013625030ba8dba906f756967f9e9ca394464a");
}

}  // namespace
}  // namespace tern::hub
