// What a Hub server says: any bytes become a listing and a choice that stay in their folder, or a
// tern::Error. The input is the JSON, a line with a file's headers, and a name.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "tern/base/error.h"
#include "tern/hub/choose.h"
#include "tern/hub/listing.h"
#include "tern/hub/model_name.h"

namespace {

using tern::hub::is_safe_path;

void expect(bool holds) {
  if (!holds) std::abort();
}

std::string_view take_line(std::string_view& text) {
  const auto end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text = end == std::string_view::npos ? "" : text.substr(end + 1);
  return line;
}

void read_headers(std::string_view line) {
  const std::string hash = tern::hub::hash_of_etag(line);
  expect(hash.empty() || tern::hub::is_content_hash(hash));
  if (const auto range = tern::hub::parse_content_range(line)) expect(range->first <= range->last);
  tern::hub::parse_byte_count(line);
}

void choose(const std::vector<std::string>& paths, const tern::hub::ModelName& name) {
  const tern::hub::Choice choice = tern::hub::choose_model(paths, name, "fuzz");
  expect(choice.gguf.empty() || is_safe_path(choice.gguf));
  for (const std::string& file : tern::hub::checkpoint_files(paths)) expect(is_safe_path(file));
  tern::hub::single_weights(paths, "fuzz");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  read_headers(take_line(text));
  const auto name = tern::hub::parse_model_name(take_line(text));
  if (name) {
    // What is a name is one again, and its folder is one folder.
    const auto again = tern::hub::parse_model_name(name->text());
    expect(again && again->folder() == name->folder());
    expect(is_safe_path(name->folder()) && name->folder().find('/') == std::string::npos);
  }
  try {
    for (const std::string& shard : tern::hub::parse_shards(text, "index")) {
      expect(is_safe_path(shard));
    }
  } catch (const tern::Error&) {
  }
  try {
    const tern::hub::Listing listing = tern::hub::parse_listing(text, "list");
    expect(tern::hub::is_commit(listing.commit));
    std::vector<std::string> paths;
    for (const auto& file : listing.files) {
      expect(is_safe_path(file.path) && !tern::hub::leaves_its_folder(file.path));
      expect(file.hash.empty() || tern::hub::is_content_hash(file.hash));
      paths.push_back(file.path);
    }
    if (name) choose(paths, *name);
  } catch (const tern::Error&) {
  }
  return 0;
}
