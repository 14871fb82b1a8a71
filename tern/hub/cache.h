// The Hugging Face cache: where it is, what is in it, and putting files into it. The layout is the
// one of https://huggingface.co/docs/hub/local-cache, shared with other programs:
//
//   CACHE/.locks/models--USER--REPO/HASH.lock     held (flock) by who writes the blob
//   CACHE/models--USER--REPO/blobs/HASH           content; HASH.incomplete while it comes
//                           /refs/REVISION        the commit, without a line break
//                           /snapshots/COMMIT/PATH -> ../../blobs/HASH
//
// Paths given to these functions satisfy is_safe_path(), hashes is_content_hash(), commits
// is_commit() and revisions is_revision(). Throws Error(kIo) with the system's reason.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/hub/model_name.h"

namespace tern::hub {

// $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE (its old name), $HF_HOME/hub,
// $XDG_CACHE_HOME/huggingface/hub, or ~/.cache/huggingface/hub; empty variables do not count.
// Throws Error(kIo) where there is not even $HOME.
std::filesystem::path cache_folder();

// $HF_HUB_OFFLINE is 1, ON, YES or TRUE, in either case.
bool offline_by_environment();

// One repository's folder in a cache. It need not exist.
class CachedRepository {
 public:
  CachedRepository(const std::filesystem::path& cache, const ModelName& name);

  const std::filesystem::path& folder() const noexcept { return folder_; }
  std::filesystem::path blob(std::string_view hash) const;
  std::filesystem::path part(std::string_view hash) const;  // HASH.incomplete.
  std::filesystem::path lock(std::string_view hash) const;
  std::filesystem::path snapshot(std::string_view commit) const;

  // The commit of a revision: itself, or what refs/ says; nothing where it says none.
  std::optional<std::string> commit_of(std::string_view revision) const;
  // The files of a snapshot whose content is there, sorted; a link to nothing does not count.
  std::vector<std::string> files(std::string_view commit) const;

  void make_folders() const;  // Those of blobs and locks.
  void write_ref(std::string_view revision, std::string_view commit) const;
  // Makes blob(hash) appear as `path` of the snapshot, by a relative link. Where the file system
  // has no links (or `links` is false), the blob itself is moved there.
  void place(std::string_view commit, std::string_view path, std::string_view hash,
             bool links = true) const;

 private:
  std::filesystem::path folder_, locks_;
};

// The file or folder of a model in the cache, never from the network. Throws Error(kIo) that says
// what to pull where the revision is not there, and as choose_model() does.
std::filesystem::path find_cached(const std::filesystem::path& cache, const ModelName& name);

// A model in the cache that find_cached() finds by `name`.
struct CachedModel {
  std::string name;  // USER/REPO[@REVISION][:FILE].
  std::string kind;  // "GGUF" or "HF safetensors".
  std::string commit;
  std::uint64_t bytes = 0;  // Of the file, or of all files of the checkpoint that are there.
  std::filesystem::path path;
};

// All of them, by name. Folders that are no repository, and repositories that have no model that
// tern could read, are passed over.
std::vector<CachedModel> list_cached(const std::filesystem::path& cache);

}  // namespace tern::hub
