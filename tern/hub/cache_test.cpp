// The cache's layout, as the Hub's documentation draws it, and looking things up in it.
#include "tern/hub/cache.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/system.h"

namespace tern::hub {
namespace {

namespace fs = std::filesystem;

const std::string kCommit(40, 'c');
const std::string kHash(64, 'a');

class CacheTest : public testing::Test {
 protected:
  void SetUp() override {
    cache_ = fs::path(testing::TempDir()) / ("hub_cache_test-" + std::to_string(random_seed()));
    fs::remove_all(cache_);
  }
  void TearDown() override { fs::remove_all(cache_); }

  // A file of a repository in the cache, as if it had been pulled.
  void add(const std::string& repo, const std::string& path, const std::string& text,
           const std::string& revision = "main", const std::string& commit = kCommit,
           bool links = true) {
    ModelName name = *parse_model_name(repo);
    const CachedRepository repository(cache_, name);
    repository.make_folders();
    const std::string hash = std::to_string(path.size() + 1000) + std::string(60, 'a');
    write_file(repository.blob(hash), text);
    repository.place(commit, path, hash, links);
    repository.write_ref(revision, commit);
  }

  fs::path find(const std::string& name) { return find_cached(cache_, *parse_model_name(name)); }

  std::string refusal(const std::string& name) {
    try {
      find(name);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }

  fs::path cache_;
};

TEST_F(CacheTest, Layout) {
  const CachedRepository repository(cache_, *parse_model_name("julien-c/EsperBERTo-small"));
  const fs::path folder = cache_ / "models--julien-c--EsperBERTo-small";
  EXPECT_EQ(repository.folder(), folder);
  EXPECT_EQ(repository.blob(kHash), folder / "blobs" / kHash);
  EXPECT_EQ(repository.part(kHash), folder / "blobs" / (kHash + ".incomplete"));
  EXPECT_EQ(repository.lock(kHash),
            cache_ / ".locks" / "models--julien-c--EsperBERTo-small" / (kHash + ".lock"));
  EXPECT_EQ(repository.snapshot(kCommit), folder / "snapshots" / kCommit);

  repository.make_folders();
  write_file(repository.blob(kHash), "content");
  repository.place(kCommit, "README.md", kHash);
  repository.place(kCommit, "sub/deep/x.gguf", kHash);
  EXPECT_EQ(fs::read_symlink(folder / "snapshots" / kCommit / "README.md"), "../../blobs/" + kHash);
  EXPECT_EQ(fs::read_symlink(folder / "snapshots" / kCommit / "sub/deep/x.gguf"),
            "../../../../blobs/" + kHash);
  EXPECT_EQ(read_text_file(folder / "snapshots" / kCommit / "sub/deep/x.gguf"), "content");

  repository.write_ref("main", kCommit);
  repository.write_ref("refs/pr/1", kCommit);
  EXPECT_EQ(read_text_file(folder / "refs/main"), kCommit);  // No line break.
  EXPECT_EQ(read_text_file(folder / "refs/refs/pr/1"), kCommit);
  repository.write_ref(kCommit, kCommit);
  EXPECT_FALSE(fs::exists(folder / "refs" / kCommit));  // A commit is no reference.
}

TEST_F(CacheTest, PlacingAnewReplacesTheLink) {
  const CachedRepository repository(cache_, *parse_model_name("u/r"));
  repository.make_folders();
  const std::string other(64, 'b');
  write_file(repository.blob(kHash), "one");
  write_file(repository.blob(other), "two");
  const fs::path pointer = repository.snapshot(kCommit) / "x.gguf";
  for (const auto& [hash, text] : {std::pair{kHash, "one"}, {other, "two"}, {other, "two"}}) {
    repository.place(kCommit, "x.gguf", hash);
    EXPECT_EQ(read_text_file(pointer), text);
  }
  EXPECT_EQ(repository.files(kCommit),
            std::vector<std::string>{"x.gguf"});  // Nothing is left over.
}

TEST_F(CacheTest, WithoutLinksTheContentMoves) {
  add("u/r", "x.gguf", "content", "main", kCommit, false);
  const fs::path path = find("u/r");
  EXPECT_EQ(path, cache_ / "models--u--r/snapshots" / kCommit / "x.gguf");
  EXPECT_FALSE(fs::is_symlink(path));
  EXPECT_EQ(read_text_file(path), "content");
  EXPECT_TRUE(fs::is_empty(cache_ / "models--u--r/blobs"));
}

TEST_F(CacheTest, FindsByNameTagAndRevision) {
  add("u/r", "m-TQ2_0.gguf", "1");
  add("u/r", "m-long-I2_S.gguf", "2");
  const std::string old(40, '1');
  add("u/r", "older.gguf", "3", "v1", old);
  const fs::path snapshot = cache_ / "models--u--r/snapshots" / kCommit;
  EXPECT_EQ(find("u/r:tq2_0"), snapshot / "m-TQ2_0.gguf");
  EXPECT_EQ(find("u/r:m-long-I2_S.gguf"), snapshot / "m-long-I2_S.gguf");
  EXPECT_EQ(find("u/r@v1"), cache_ / "models--u--r/snapshots" / old / "older.gguf");
  EXPECT_EQ(find("u/r@" + old), find("u/r@v1"));
  EXPECT_NE(refusal("u/r").find("m-TQ2_0.gguf, m-long-I2_S.gguf"), std::string::npos);
}

TEST_F(CacheTest, FindsCheckpoints) {
  add("u/r", "config.json", "{}");
  add("u/r", "model.safetensors", "x");
  EXPECT_EQ(find("u/r"), cache_ / "models--u--r/snapshots" / kCommit);
}

TEST_F(CacheTest, SaysWhatToPull) {
  EXPECT_NE(refusal("u/r").find("tern pull u/r"), std::string::npos);
  EXPECT_NE(refusal("u/r:Q2_0").find("tern pull u/r:Q2_0"), std::string::npos);
  add("u/r", "config.json", "{}");
  EXPECT_NE(refusal("u/r").find("tern pull u/r"), std::string::npos);
  EXPECT_NE(refusal("u/r@other").find("tern pull u/r@other"), std::string::npos);
  // A link to nothing is no file.
  add("u/gone", "x.gguf", "x");
  fs::remove_all(cache_ / "models--u--gone/blobs");
  EXPECT_NE(refusal("u/gone"), "");
}

TEST_F(CacheTest, RefusesBrokenReferences) {
  add("u/r", "x.gguf", "x");
  for (const std::string& text : {std::string(), std::string("../../.."), std::string(5000, 'a')}) {
    std::ofstream(cache_ / "models--u--r/refs/main") << text;
    EXPECT_NE(refusal("u/r"), "") << text.substr(0, 40);
  }
  std::ofstream(cache_ / "models--u--r/refs/main") << kCommit << "\n";  // As some tools write it.
  EXPECT_EQ(refusal("u/r"), "");
}

TEST_F(CacheTest, Lists) {
  EXPECT_TRUE(list_cached(cache_).empty());
  add("b/two", "m-TQ2_0.gguf", "12");
  add("b/two", "longer-I2_S.gguf", "123");
  add("a/one", "config.json", "{}");
  add("a/one", "model.safetensors", "1234");
  add("a/one", "older.gguf", "1", "v1", std::string(40, '1'));
  add("c/none", "README.md", "x");
  add("d/broken", "x.gguf", "x");
  std::ofstream(cache_ / "models--d--broken/refs/main") << "?";
  fs::create_directories(cache_ / "datasets--u--r/refs");
  fs::create_directories(cache_ / "models--gpt2/refs");
  const auto models = list_cached(cache_);
  ASSERT_EQ(models.size(), 4u);
  EXPECT_EQ(models[0].name, "a/one");
  EXPECT_EQ(models[0].kind, "HF safetensors");
  EXPECT_EQ(models[0].bytes, 6u);
  EXPECT_EQ(models[1].name, "a/one@v1");
  EXPECT_EQ(models[1].kind, "GGUF");
  EXPECT_EQ(models[2].name, "b/two:longer-I2_S.gguf");
  EXPECT_EQ(models[3].name, "b/two:m-TQ2_0.gguf");
  EXPECT_EQ(models[3].bytes, 2u);
  for (const CachedModel& model : models) EXPECT_EQ(find(model.name), model.path) << model.name;
}

TEST(CacheFolder, FollowsTheVariables) {
  const auto folder = [](const char* cache, const char* old, const char* home, const char* xdg) {
    setenv("HF_HUB_CACHE", cache, 1);
    setenv("HUGGINGFACE_HUB_CACHE", old, 1);
    setenv("HF_HOME", home, 1);
    setenv("XDG_CACHE_HOME", xdg, 1);
    setenv("HOME", "/home/u", 1);
    return cache_folder();
  };
  EXPECT_EQ(folder("/a", "/b", "/c", "/d"), "/a");
  EXPECT_EQ(folder("", "/b", "/c", "/d"), "/b");
  EXPECT_EQ(folder("", "", "/c", "/d"), "/c/hub");
  EXPECT_EQ(folder("", "", "~/c", "/d"), "/home/u/c/hub");
  EXPECT_EQ(folder("", "", "", "/d"), "/d/huggingface/hub");
  EXPECT_EQ(folder("", "", "", ""), "/home/u/.cache/huggingface/hub");
  setenv("HOME", "", 1);
  EXPECT_THROW(cache_folder(), Error);
  for (const auto& [value, offline] : {std::pair{"1", true},
                                       {"true", true},
                                       {"Yes", true},
                                       {"0", false},
                                       {"", false},
                                       {"no", false}}) {
    setenv("HF_HUB_OFFLINE", value, 1);
    EXPECT_EQ(offline_by_environment(), offline) << value;
  }
}

}  // namespace
}  // namespace tern::hub
