// Links, references and blobs.
#include "tern/hub/cache.h"

#include <algorithm>
#include <cctype>
#include <system_error>
#include <utility>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/hub/choose.h"

namespace tern::hub {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const char* doing, const std::error_code& error) {
  throw Error(ErrorCode::kIo, path.string() + ": cannot " + doing + ": " + error.message());
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(path, "create", error);
}

std::optional<std::string> variable(const char* name) {
  auto value = environment(name);
  return value && value->empty() ? std::nullopt : value;
}

// "~/x" as shells read it: variables set in configuration files are written so.
fs::path expanded(const std::string& path) {
  const auto home = variable("HOME");
  return path.starts_with("~/") && home ? fs::path(*home) / path.substr(2) : fs::path(path);
}

std::string name_with(const ModelName& name, const std::string& file) {
  return file.empty() ? name.text() : name.text() + ":" + file;
}

// "models--USER--REPO" taken apart; both parts are free of "--".
std::optional<ModelName> name_of_folder(std::string_view folder) {
  constexpr std::string_view kPrefix = "models--";
  if (!folder.starts_with(kPrefix)) return std::nullopt;
  folder.remove_prefix(kPrefix.size());
  const auto middle = folder.find("--");
  if (middle == std::string_view::npos) return std::nullopt;
  ModelName name;
  name.user = folder.substr(0, middle);
  name.repository = folder.substr(middle + 2);
  if (!is_repository(name.user, name.repository)) return std::nullopt;
  return name;
}

// Everything under `folder` that is a file, through links to files and not to folders.
std::vector<std::string> files_under(const fs::path& folder) {
  constexpr int kDeepest = 16;
  std::vector<std::string> files;
  std::error_code error;
  auto it = fs::recursive_directory_iterator(folder, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (it.depth() >= kDeepest) it.disable_recursion_pending();
    std::error_code ignored;
    if (it->is_regular_file(ignored)) {
      files.push_back(it->path().lexically_relative(folder).generic_string());
    }
  }
  std::ranges::sort(files);
  return files;
}

// The revisions that refs/ names, "main" first.
std::vector<std::string> revisions_of(const fs::path& refs) {
  std::vector<std::string> revisions = files_under(refs);
  std::erase_if(revisions, [](const std::string& r) { return !is_revision(r); });
  const auto main = std::ranges::find(revisions, kDefaultRevision);
  if (main != revisions.end()) std::rotate(revisions.begin(), main, main + 1);
  return revisions;
}

std::uint64_t bytes_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : size;
}

std::uint64_t checkpoint_bytes(const fs::path& snapshot, const std::vector<std::string>& files) {
  std::uint64_t bytes = 0;
  for (const std::string& file : checkpoint_files(files)) bytes += bytes_of(snapshot / file);
  for (const std::string& file : files) {
    if (file.ends_with(".safetensors")) bytes += bytes_of(snapshot / file);
  }
  return bytes;
}

void list_revision(const CachedRepository& repository, const ModelName& name,
                   std::vector<CachedModel>& models) {
  const auto commit = repository.commit_of(name.revision);
  if (!commit) return;
  const std::vector<std::string> files = repository.files(*commit);
  const std::vector<std::string> there = models_in(files);
  const fs::path snapshot = repository.snapshot(*commit);
  for (const std::string& file : there) {
    CachedModel model;
    const bool folder = file == kCheckpoint;
    model.name = name_with(name, there.size() == 1 ? "" : file);
    model.kind = folder ? "HF safetensors" : "GGUF";
    model.commit = *commit;
    model.path = folder ? snapshot : snapshot / file;
    model.bytes = folder ? checkpoint_bytes(snapshot, files) : bytes_of(model.path);
    models.push_back(std::move(model));
  }
}

bool has_no_links(const std::error_code& error) {
  return error == std::errc::operation_not_permitted ||
         error == std::errc::operation_not_supported || error == std::errc::function_not_supported;
}

}  // namespace

fs::path cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const auto folder = variable(name)) return expanded(*folder);
  }
  if (const auto home = variable("HF_HOME")) return expanded(*home) / "hub";
  if (const auto cache = variable("XDG_CACHE_HOME")) {
    return expanded(*cache) / "huggingface" / "hub";
  }
  const auto home = variable("HOME");
  if (!home) {
    throw Error(ErrorCode::kIo,
                "neither HF_HUB_CACHE, HF_HOME nor HOME is set, expected one of them: it says "
                "where the cache of Hub models is");
  }
  return fs::path(*home) / ".cache" / "huggingface" / "hub";
}

bool offline_by_environment() {
  std::string value = variable("HF_HUB_OFFLINE").value_or("");
  std::ranges::transform(value, value.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

CachedRepository::CachedRepository(const fs::path& cache, const ModelName& name)
    : folder_(cache / name.folder()), locks_(cache / ".locks" / name.folder()) {}

fs::path CachedRepository::blob(std::string_view hash) const { return folder_ / "blobs" / hash; }

fs::path CachedRepository::part(std::string_view hash) const {
  return folder_ / "blobs" / (std::string(hash) + ".incomplete");
}

fs::path CachedRepository::lock(std::string_view hash) const {
  return locks_ / (std::string(hash) + ".lock");
}

fs::path CachedRepository::snapshot(std::string_view commit) const {
  return folder_ / "snapshots" / commit;
}

std::optional<std::string> CachedRepository::commit_of(std::string_view revision) const {
  if (is_commit(revision)) return std::string(revision);
  const fs::path ref = folder_ / "refs" / revision;
  std::error_code error;
  if (!fs::is_regular_file(ref, error)) return std::nullopt;
  constexpr std::uint64_t kLongest = 1000;
  std::string commit = read_text_file(ref, kLongest);
  while (!commit.empty() && std::isspace(static_cast<unsigned char>(commit.back()))) {
    commit.pop_back();
  }
  if (!is_commit(commit)) {
    throw Error(ErrorCode::kCorruptFile,
                ref.string() + ": '" + shown(commit) + "' found, expected a commit of 40 digits");
  }
  return commit;
}

std::vector<std::string> CachedRepository::files(std::string_view commit) const {
  return files_under(snapshot(commit));
}

void CachedRepository::make_folders() const {
  make_folder(folder_ / "blobs");
  make_folder(locks_);
}

void CachedRepository::write_ref(std::string_view revision, std::string_view commit) const {
  if (revision == commit) return;  // A commit is no reference.
  const fs::path ref = folder_ / "refs" / revision;
  make_folder(ref.parent_path());
  if (commit_of(revision) != commit) write_file(ref, commit);
}

void CachedRepository::place(std::string_view commit, std::string_view path, std::string_view hash,
                             bool links) const {
  const fs::path pointer = snapshot(commit) / path;
  make_folder(pointer.parent_path());
  const fs::path target = blob(hash).lexically_relative(pointer.parent_path());
  std::error_code error;
  if (links) {
    if (fs::read_symlink(pointer, error) == target && !error) return;
    // Under another name first: a link that is replaced is never missing.
    const fs::path fresh = pointer.parent_path() / ("." + pointer.filename().string() + ".tmp-" +
                                                    std::to_string(random_seed() & 0xffffffff));
    fs::create_symlink(target, fresh, error);
    if (!error) {
      fs::rename(fresh, pointer, error);
      if (!error) return;
      std::error_code ignored;
      fs::remove(fresh, ignored);
      fail(pointer, "create", error);
    }
    if (!has_no_links(error)) fail(pointer, "create", error);
  }
  fs::rename(blob(hash), pointer, error);
  if (error) fail(pointer, "create", error);
}

fs::path find_cached(const fs::path& cache, const ModelName& name) {
  const CachedRepository repository(cache, name);
  const auto commit = repository.commit_of(name.revision);
  std::error_code error;
  if (!commit || !fs::is_directory(repository.snapshot(*commit), error)) {
    throw Error(ErrorCode::kIo, name.text() + ": not found in the cache of Hub models (" +
                                    cache.string() + "), expected one that was pulled: tern pull " +
                                    name_with(name, name.file));
  }
  const Choice choice = choose_model(repository.files(*commit), name,
                                     name.text() + " in the cache (what is not there: tern pull " +
                                         name_with(name, name.file) + ")");
  return choice.gguf.empty() ? repository.snapshot(*commit)
                             : repository.snapshot(*commit) / choice.gguf;
}

std::vector<CachedModel> list_cached(const fs::path& cache) {
  std::vector<CachedModel> models;
  std::error_code error;
  auto it = fs::directory_iterator(cache, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    auto name = name_of_folder(it->path().filename().string());
    if (!name) continue;
    const CachedRepository repository(cache, *name);
    for (const std::string& revision : revisions_of(repository.folder() / "refs")) {
      name->revision = revision;
      try {
        list_revision(repository, *name, models);
      } catch (const Error&) {
        continue;  // A broken reference hides no other model.
      }
    }
  }
  std::ranges::sort(models, {}, &CachedModel::name);
  return models;
}

}  // namespace tern::hub
