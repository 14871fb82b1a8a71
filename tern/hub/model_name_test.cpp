// Which texts are names of Hub models, paths and hashes, and which are not.
#include "tern/hub/model_name.h"

#include <gtest/gtest.h>

namespace tern::hub {
namespace {

TEST(ModelName, PartsOfName) {
  const auto plain = parse_model_name("microsoft/bitnet-b1.58-2B-4T");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->user, "microsoft");
  EXPECT_EQ(plain->repository, "bitnet-b1.58-2B-4T");
  EXPECT_EQ(plain->revision, "main");
  EXPECT_EQ(plain->file, "");
  EXPECT_EQ(plain->text(), "microsoft/bitnet-b1.58-2B-4T");
  EXPECT_EQ(plain->folder(), "models--microsoft--bitnet-b1.58-2B-4T");

  const auto full = parse_model_name("a/b@refs/pr/1:sub/x.gguf");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->repo(), "a/b");
  EXPECT_EQ(full->revision, "refs/pr/1");
  EXPECT_EQ(full->file, "sub/x.gguf");
  EXPECT_EQ(full->text(), "a/b@refs/pr/1");
}

TEST(ModelName, WhatIsNoName) {
  for (const char* text : {"",
                           "en",
                           "/",
                           "a/",
                           "/b",
                           "a/b/c",
                           "./model",
                           "../model",
                           "/etc/passwd",
                           "~/models",
                           "a b/c",
                           "a/..",
                           "a/b--c",
                           "a--b/c",
                           "a/b..c",
                           "a/.b",
                           "-a/b",
                           "a/b-",
                           "a/b.",
                           "a/b:",
                           "a/b:../x",
                           "a/b:/x",
                           "a/b@",
                           "a/b@../x",
                           "a/b@x:",
                           "a\\b/c",
                           "a/b\n",
                           "日本/語",
                           "a/b:x y",
                           "a/b?x",
                           "https://huggingface.co/a/b"}) {
    EXPECT_FALSE(parse_model_name(text)) << text;
  }
  EXPECT_TRUE(parse_model_name("a/" + std::string(94, 'x')));
  EXPECT_FALSE(parse_model_name("a/" + std::string(95, 'x')));
}

TEST(ModelName, SafePaths) {
  for (const char* path : {"config.json", "a/b/c.gguf", "model-00001-of-00002.safetensors", "-x",
                           ".gitattributes", "a+b=(1),@2_.x", "...", "a..b"}) {
    EXPECT_TRUE(is_safe_path(path)) << path;
  }
  for (const char* path : {"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.", "a\\b",
                           "a b", "a\tb", "a:b", "é", "a\x7f", "a\nb", "~a", "a%2e", "a*"}) {
    EXPECT_FALSE(is_safe_path(path)) << path;
  }
  EXPECT_FALSE(is_safe_path(std::string_view("a\0b", 3)));
  EXPECT_TRUE(is_safe_path(std::string(255, 'x')));
  EXPECT_FALSE(is_safe_path(std::string(256, 'x')));
  std::string deep = "a";
  while (deep.size() < 1000) deep += "/a";
  EXPECT_FALSE(is_safe_path(deep));  // 1001 bytes.
  EXPECT_TRUE(is_safe_path(deep.substr(0, 999)));
}

TEST(ModelName, PathsThatLeaveTheirFolder) {
  for (const char* path : {"", "/etc/passwd", "..", "../x", "a/../x", "a/..", "a\\..\\x", "a\nb"}) {
    EXPECT_TRUE(leaves_its_folder(path)) << path;
  }
  EXPECT_TRUE(leaves_its_folder(std::string_view("a\0b", 3)));
  for (const char* path : {"a", "a/b", "a..b", "a b", "日本語.txt", "...", "a/.x"}) {
    EXPECT_FALSE(leaves_its_folder(path)) << path;
  }
}

TEST(ModelName, HashesAndRevisions) {
  EXPECT_TRUE(is_commit(std::string(40, 'a')));
  EXPECT_FALSE(is_commit(std::string(40, 'A')));
  EXPECT_FALSE(is_commit(std::string(39, 'a')));
  EXPECT_FALSE(is_commit(std::string(64, 'a')));
  EXPECT_TRUE(is_content_hash(std::string(64, '0')));
  EXPECT_FALSE(is_content_hash(std::string(40, 'g')));
  for (const char* revision : {"main", "v1.0", "refs/pr/12", "feature/x-y_z"}) {
    EXPECT_TRUE(is_revision(revision)) << revision;
  }
  for (const char* revision :
       {"", "/", "a/", "..", "a..b", "../x", "a b", "a:b", "a~1", "a^", "a\\b", "a?b"}) {
    EXPECT_FALSE(is_revision(revision)) << revision;
  }
}

TEST(ModelName, AddressesAndWhatIsShown) {
  EXPECT_EQ(percent_encoded("refs/pr/1", false), "refs%2Fpr%2F1");
  EXPECT_EQ(percent_encoded("a/b c+\xff", true), "a/b%20c%2B%FF");
  EXPECT_EQ(shown("a\x1b[31m\xff"), "a?[31m?");
  EXPECT_EQ(shown(std::string(200, 'x')), std::string(100, 'x') + "...");
}

}  // namespace
}  // namespace tern::hub
