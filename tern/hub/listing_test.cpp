// The Hub's answers: right, odd, and lying.
#include "tern/hub/listing.h"

#include <gtest/gtest.h>

#include "tern/base/error.h"

namespace tern::hub {
namespace {

const std::string kCommit(40, 'c');
const std::string kSha256(64, 'a');
const std::string kSha1(40, 'b');

std::string listing_of(const std::string& files) {
  return R"({"id": "u/r", "sha": ")" + kCommit + R"(", "siblings": [)" + files + "]}";
}

std::string refusal(const std::string& json) {
  try {
    parse_listing(json, "the list");
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCorruptFile);
    return e.what();
  }
  return "";
}

TEST(Listing, FilesWithSizesAndHashes) {
  const Listing listing = parse_listing(
      listing_of(R"({"rfilename": "x.gguf", "size": 134, "blobId": ")" + kSha1 +
                 R"(", "lfs": {"sha256": ")" + kSha256 +
                 R"(", "size": 7000, "pointerSize": 134}}, {"rfilename": "config.json", "size": 5,
                    "blobId": ")" +
                 kSha1 + R"("}, {"rfilename": "bare"}, {"rfilename": "a name with blanks"})"),
      "the list");
  EXPECT_EQ(listing.commit, kCommit);
  ASSERT_EQ(listing.files.size(), 3u);  // Odd names are no candidates.
  const RepositoryFile* gguf = listing.find("x.gguf");
  ASSERT_NE(gguf, nullptr);
  EXPECT_EQ(gguf->size, 7000u);  // Of the content, not of the pointer in git.
  EXPECT_EQ(gguf->hash, kSha256);
  EXPECT_EQ(listing.find("config.json")->hash, kSha1);
  EXPECT_EQ(listing.find("bare")->hash, "");
  EXPECT_FALSE(listing.find("bare")->size);
  EXPECT_EQ(listing.find("other"), nullptr);
}

TEST(Listing, RefusesWhatIsNone) {
  EXPECT_NE(refusal("<html>"), "");
  EXPECT_NE(refusal("[]"), "");
  EXPECT_NE(refusal("{}").find("'sha'"), std::string::npos);
  EXPECT_NE(refusal(R"({"sha": "main", "siblings": []})").find("'main'"), std::string::npos);
  EXPECT_NE(refusal(R"({"sha": ")" + kCommit + "\"}").find("'siblings'"), std::string::npos);
  EXPECT_NE(refusal(listing_of("3")), "");
  EXPECT_NE(refusal(listing_of("{}")).find("'rfilename'"), std::string::npos);
  EXPECT_NE(refusal(listing_of(R"({"rfilename": "a", "size": -1})")), "");
  EXPECT_NE(refusal(listing_of(R"({"rfilename": "a", "size": 9000000000000000000})")), "");
  EXPECT_NE(refusal(listing_of(R"({"rfilename": "a", "blobId": "../../x"})")), "");
  EXPECT_NE(refusal(listing_of(R"({"rfilename": "a", "lfs": {"sha256": "abc"}})")), "");
  EXPECT_NE(refusal(listing_of(R"({"rfilename": "a", "lfs": 3})")), "");
  EXPECT_NE(refusal(listing_of(R"({"rfilename": "a"}, {"rfilename": "a"})")), "");
}

TEST(Listing, RefusesPathsThatLeaveTheRepository) {
  for (const char* path : {"../x", "a/../../x", "/etc/passwd", "..", "a\\\\..\\\\b", "a\\u0000b"}) {
    EXPECT_NE(refusal(listing_of(R"({"rfilename": ")" + std::string(path) + "\"}")), "") << path;
  }
}

TEST(Listing, ShardsOfAnIndex) {
  const auto shards = parse_shards(
      R"({"metadata": {}, "weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors",
          "c": "m-2.safetensors"}})",
      "index");
  EXPECT_EQ(shards, (std::vector<std::string>{"m-1.safetensors", "m-2.safetensors"}));
  for (const char* json :
       {"[]", "{}", R"({"weight_map": {}})", R"({"weight_map": {"a": 3}})",
        R"({"weight_map": {"a": "../x.safetensors"}})",
        R"({"weight_map": {"a": "s/x.safetensors"}})", R"({"weight_map": {"a": "x.bin"}})"}) {
    EXPECT_THROW(parse_shards(json, "index"), Error) << json;
  }
}

TEST(Headers, Etags) {
  EXPECT_EQ(hash_of_etag('"' + kSha256 + '"'), kSha256);
  EXPECT_EQ(hash_of_etag("W/\"" + kSha1 + "\""), kSha1);
  EXPECT_EQ(hash_of_etag(" " + kSha1 + " "), kSha1);
  for (const std::string& etag :
       {std::string(), std::string("\""), std::string("\"\""), std::string("\"abc\""),
        '"' + kSha256 + "-gzip\"", std::string("../") + kSha1.substr(3)}) {
    EXPECT_EQ(hash_of_etag(etag), "") << etag;
  }
}

TEST(Headers, ByteCounts) {
  EXPECT_EQ(parse_byte_count("0"), 0u);
  EXPECT_EQ(parse_byte_count(" 17 "), 17u);
  EXPECT_EQ(parse_byte_count(std::to_string(kLargestFile)), kLargestFile);
  for (const char* text : {"", " ", "-1", "+1", "1x", "0x10", "1.5", "99999999999999999999999"}) {
    EXPECT_FALSE(parse_byte_count(text)) << text;
  }
  EXPECT_FALSE(parse_byte_count(std::to_string(kLargestFile + 1)));
}

TEST(Headers, ContentRanges) {
  const auto range = parse_content_range("bytes 10-19/20");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 10u);
  EXPECT_EQ(range->last, 19u);
  EXPECT_EQ(range->total, 20u);
  EXPECT_FALSE(parse_content_range("bytes 10-19/*")->total);
  for (const char* text :
       {"", "bytes", "bytes ", "bytes 10-19", "bytes 19-10/20", "bytes 10-20/20", "bytes */20",
        "bytes 1/2-3", "items 10-19/20", "bytes 10-19/x", "bytes -19/20", "bytes 10-/20"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

}  // namespace
}  // namespace tern::hub
