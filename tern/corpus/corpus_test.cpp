// Documents of text files, whole and broken; the order of windows against another program's.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "tern/corpus/corpus_test_util.h"
#include "tern/corpus/documents.h"
#include "tern/corpus/window_order.h"

namespace tern::corpus {
namespace {

namespace fs = std::filesystem;
using test::has;
using test::refusal;

using Documents = std::vector<std::string>;

TextSources sources(std::vector<fs::path> paths, std::string separator = "") {
  return {.paths = std::move(paths), .separators = {std::move(separator)}};
}

Documents documents(const TextSources& from) {
  Documents out;
  for_each_document(from, [&](std::string_view text, std::string_view) { out.emplace_back(text); });
  return out;
}

std::vector<std::string> places(const TextSources& from) {
  std::vector<std::string> out;
  for_each_document(from, [&](std::string_view, std::string_view where) {
    out.push_back(fs::path(where).filename().string());
  });
  return out;
}

class DocumentsOf : public test::TemporaryFolder {};

TEST_F(DocumentsOf, AFileWithoutSeparatorIsOne) {
  const auto file = write("a.txt", "\n \t\r\n  one\n\n<|doc|>\n two \n\n\n");
  EXPECT_EQ(documents(sources({file})), Documents{"  one\n\n<|doc|>\n two "});
  EXPECT_EQ(places(sources({file})), Documents{"a.txt: document 1"});
}

TEST_F(DocumentsOf, SeparatorsAreWholeLinesAnywhere) {
  const auto file = write("a.txt",
                          "<|doc|>\n"
                          "one\n"
                          "  <|doc|>\t\n"
                          "\n\n"
                          "<|doc|>\n"
                          "two <|doc|>\n"
                          "<|doc|>three\n"
                          "\n"
                          "<|doc|>");
  EXPECT_EQ(documents(sources({file}, "<|doc|>")), (Documents{"one", "two <|doc|>\n<|doc|>three"}));
  EXPECT_EQ(places(sources({file}, " <|doc|>")),  // Blanks around the separator do not count.
            (Documents{"a.txt: document 1", "a.txt: document 2"}));
}

TEST_F(DocumentsOf, EndsOfLineAreOfOneKind) {
  const auto file = write("a.txt", "\r\none\r\n\r\ntwo\r\n\r\n---\r\nthree\r\nfour");
  EXPECT_EQ(documents(sources({file}, "---")), (Documents{"one\n\ntwo", "three\nfour"}));
  const auto lone = write("b.jsonl", "{\"text\": \"a\\rb\\r\\nc\\r\\r\\nd\"}\n");
  EXPECT_EQ(documents(sources({lone})), (Documents{"a\rb\nc\r\nd"}));
}

TEST_F(DocumentsOf, ABlankOrEmptyFileHasNone) {
  EXPECT_EQ(documents(sources({write("a.txt", ""), write("b.txt", " \r\n\t\n"),
                               write("c.txt", "--\n--\n"), write("d.jsonl", "\n\n")},
                              "--")),
            Documents{});
}

TEST_F(DocumentsOf, AByteOrderMarkIsNoText) {
  const auto plain = write("a.txt", "\xEF\xBB\xBF--\none \xEF\xBB\xBF");
  const auto lines = write("b.jsonl", "\xEF\xBB\xBF{\"text\": \"two\"}\n");
  EXPECT_EQ(documents(sources({plain, lines}, "--")), (Documents{"one \xEF\xBB\xBF", "two"}));
}

TEST_F(DocumentsOf, JsonLinesGiveTheirField) {
  const auto file = write("a.jsonl",
                          "{\"text\": \"one\\n\\u3042\\n\\n\", \"n\": 1}\r\n"
                          "\n"
                          "{\"text\": \"  \"}\n"
                          "{\"text\": \"two\", \"body\": \"other\"}");
  EXPECT_EQ(documents(sources({file})), (Documents{"one\nあ", "two"}));
  EXPECT_EQ(places(sources({file})), (Documents{"a.jsonl: line 1", "a.jsonl: line 4"}));
  const auto body = write("b.jsonl", "{\"text\": \"two\", \"body\": \"other\"}");
  EXPECT_EQ(documents({.paths = {body}, .separators = {}, .json_field = "body"}),
            Documents{"other"});
}

TEST_F(DocumentsOf, BadLinesAreNamed) {
  const auto says = [&](const std::string& text, std::string_view part) {
    const auto file = write("a.jsonl", "{\"text\": \"one\"}\n\n" + text + "\n");
    return has(refusal([&] { documents(sources({file})); }), part);
  };
  EXPECT_TRUE(says("{\"text\": \"on", "a.jsonl: line 3: not valid JSON"));
  EXPECT_TRUE(says("[1]", "a.jsonl: line 3: found array where an object was expected"));
  EXPECT_TRUE(says("\"text\"", "a.jsonl: line 3: found string where an object was expected"));
  EXPECT_TRUE(says("{\"txt\": \"one\"}",
                   "a.jsonl: line 3: field 'text' is missing, expected the text in it"));
  EXPECT_TRUE(says("{\"text\": 7}", "a.jsonl: line 3: field 'text' is 7, expected"));
  EXPECT_TRUE(says("{\"text\": \"\xC3\"}", "a.jsonl: line 3: not valid JSON"));
  EXPECT_TRUE(says("{\"text\": \"\\ud800\"}", "a.jsonl: line 3: not valid JSON"));
}

TEST_F(DocumentsOf, TextThatIsNotUtf8IsNamedByItsByte) {
  const auto at = [&](const std::string& text) {
    const auto file = write("a.txt", text);
    return refusal([&] { documents(sources({file}, "--")); });
  };
  EXPECT_TRUE(at("one\n--\ntwo\xFF")
                  .ends_with("a.txt: document 2: byte 10 of the file begins no UTF-8 character; "
                             "expected text in UTF-8"));
  EXPECT_TRUE(has(at(std::string(100, 'x') + "\xC3"), "document 1: byte 100 of"));
  EXPECT_TRUE(has(at("あ\xE3\x81"), "document 1: byte 3 of"));
  // A character does not reach across a separator.
  EXPECT_TRUE(has(at("\xE3\n--\n\x81\x82"), "document 1: byte 0 of"));
  EXPECT_TRUE(has(at("\xED\xA0\x80"), "byte 0 of"));  // A surrogate.
  EXPECT_EQ(at("あ\xF0\x9F\x98\x80 \xC3\xA9\n"), "accepted");
}

TEST_F(DocumentsOf, ADirectoryIsReadInTheOrderOfItsBytes) {
  for (const char* name : {"d/b.txt", "d/a/z.txt", "d/B.text", "d/a.md", "d/a-b.raw", "d/c.jsonl",
                           "d/\xE3\x81\x82.txt", "d/skip.csv", "d/.hidden.txt", "d/.git/x.txt"}) {
    write(name, "{\"text\": \"x\"}");
  }
  fs::create_directory(folder_ / "d" / "folder.txt");
  std::vector<std::string> names;
  for (const fs::path& file : text_files(sources({folder_ / "d"}))) {
    names.push_back(file.lexically_relative(folder_).generic_string());
  }
  EXPECT_EQ(names, (Documents{"d/B.text", "d/a-b.raw", "d/a.md", "d/a/z.txt", "d/b.txt",
                              "d/c.jsonl", "d/\xE3\x81\x82.txt"}));
}

TEST_F(DocumentsOf, PathsAreTakenInTheOrderGiven) {
  const auto a = write("a.txt", "a"), z = write("z.anything", "z"), b = write("d/b.md", "b");
  EXPECT_EQ(documents(sources({z, folder_ / "d", a})), (Documents{"z", "b", "a"}));
}

TEST_F(DocumentsOf, MissingPathsAreRefused) {
  EXPECT_EQ(
      refusal([&] { text_files(sources({folder_ / "no"})); }),
      (folder_ / "no").string() + ": nothing found there, expected a text file or a directory");
  write("d/x.csv", "x");
  EXPECT_EQ(refusal([&] { text_files(sources({folder_ / "d"})); }),
            (folder_ / "d").string() +
                ": no text file found in this directory, expected .txt, .text, .raw, .md or "
                ".jsonl");
}

std::vector<std::uint64_t> epoch_of(WindowOrder& order, std::uint64_t epoch) {
  std::vector<std::uint64_t> out;
  for (std::uint64_t i = 0; i < order.windows(); ++i) {
    out.push_back(order.window(epoch * order.windows() + i));
  }
  return out;
}

// Numbers of a Python program written from the header's lines.
TEST(Order, IsTheDocumentedShuffle) {
  using Windows = std::vector<std::uint64_t>;
  WindowOrder one(10, 1);
  EXPECT_EQ(one.windows(), 10u);
  EXPECT_EQ(epoch_of(one, 0), (Windows{4, 2, 8, 1, 9, 3, 0, 6, 7, 5}));
  EXPECT_EQ(epoch_of(one, 1), (Windows{7, 6, 4, 1, 0, 2, 5, 8, 3, 9}));
  EXPECT_EQ(one.window(2), 8u);  // Back to the first epoch.
  WindowOrder large_seed(10, 12345678901234567890u);
  EXPECT_EQ(epoch_of(large_seed, 0), (Windows{7, 4, 2, 1, 0, 3, 5, 8, 9, 6}));

  WindowOrder thousand(1000, 7);
  const Windows third = epoch_of(thousand, 3);
  EXPECT_EQ(Windows(third.begin(), third.begin() + 3), (Windows{177, 923, 383}));
  EXPECT_EQ(third.back(), 203u);
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < third.size(); ++i) sum += i * third[i];
  EXPECT_EQ(sum, 250114071u);
}

TEST(Order, ReachesEveryWindowOnce) {
  for (const std::uint64_t windows : {1u, 2u, 33u}) {
    WindowOrder order(windows, 5);
    std::vector<std::uint64_t> seen = epoch_of(order, 2);
    std::ranges::sort(seen);
    for (std::uint64_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], i);
  }
}

TEST(Order, RefusesTextShorterThanAWindow) {
  EXPECT_TRUE(has(refusal([] { WindowOrder(0, 1); }), "the text makes no sequence"));
  EXPECT_TRUE(has(refusal([] { WindowOrder(std::uint64_t{1} << 32, 1); }),
                  "makes 4294967296 sequences, expected fewer than 2^32"));
}

}  // namespace
}  // namespace tern::corpus
