// Names of models on the Hugging Face Hub, and which names may become paths and addresses.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tern::hub {

// USER/REPO[@REVISION][:FILE], as users type it. FILE is the path of a .gguf file in the
// repository, a tag that such a name holds ("Q2_0", as in llama.cpp's -hf), or "safetensors": the
// Hugging Face checkpoint.
struct ModelName {
  std::string user, repository;
  std::string revision = "main";  // A branch, a tag or a commit.
  std::string file;               // Empty: what there is, if that is one thing.

  std::string repo() const { return user + "/" + repository; }
  std::string text() const;    // As a user types it, without ":FILE".
  std::string folder() const;  // "models--USER--REPO", its folder in the cache.
};

inline constexpr std::string_view kDefaultRevision = "main";
inline constexpr std::string_view kCheckpoint = "safetensors";  // As ModelName::file.

// The name, or nothing where `text` cannot be one: USER and REPO as the Hub allows them (letters,
// digits, '-', '_' and '.', no "--", no "..", neither first nor last '-' or '.', at most 96 bytes
// together), REVISION as is_revision() and FILE as is_safe_path() have it.
std::optional<ModelName> parse_model_name(std::string_view text);

// The two parts of "USER/REPO" alone, by the same rules.
bool is_repository(std::string_view user, std::string_view repository) noexcept;

// A git reference or commit that can be a path under refs/ and a part of an address.
bool is_revision(std::string_view text) noexcept;

// A relative path that stays where it is put: parts of letters, digits and "._-+=@,()", none
// empty, "." or "..", at most 255 bytes each and 1000 together.
bool is_safe_path(std::string_view path) noexcept;

// Whether a path would leave its folder (absolute, a part "..", a backslash or a control
// character): what no git repository can hold.
bool leaves_its_folder(std::string_view path) noexcept;

// 40 (git) or 64 (SHA-256) lower-case hexadecimal digits.
bool is_commit(std::string_view text) noexcept;
bool is_content_hash(std::string_view text) noexcept;

// The text as part of an address: everything but letters, digits, "-._~" and, where `keep_slashes`,
// '/' as %XX.
std::string percent_encoded(std::string_view text, bool keep_slashes);

// What may be shown of a text that a server sent: printable ASCII, others as '?', at most 100
// bytes.
std::string shown(std::string_view text);

}  // namespace tern::hub
