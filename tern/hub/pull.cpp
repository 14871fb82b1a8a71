// From a name to a snapshot.
#include "tern/hub/pull.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <system_error>
#include <thread>

#include "tern/base/atomic_file.h"
#include "tern/base/error.h"
#include "tern/base/file_lock.h"
#include "tern/base/size_text.h"
#include "tern/hub/cache.h"
#include "tern/hub/choose.h"
#include "tern/hub/download.h"
#include "tern/hub/listing.h"

namespace tern::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestListing = 32 << 20;
constexpr std::uint64_t kLongestIndex = 64 << 20;

bool has_size(const fs::path& path, std::uint64_t size) {
  std::error_code error;
  return fs::file_size(path, error) == size && !error;
}

std::unique_ptr<FileLock> take_lock(const fs::path& path, const std::string& what,
                                    const Notice& notice) {
  bool told = false;
  while (true) {
    if (auto lock = FileLock::try_take(path)) return lock;
    if (!told) notify(notice, what + ": another process is downloading it; waiting for that");
    told = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

// One pull: the client, the repository's folder, and what its list says.
class Puller {
 public:
  Puller(const ModelName& name, const PullOptions& options)
      : name_(name),
        options_(options),
        client_(options.http),
        repository_(options.cache, name),
        api_(client_.options().endpoint + "/api/models/" + name.repo() + "/revision/" +
             percent_encoded(name.revision, false) + "?blobs=true") {}

  Pulled run() {
    if (!client_.options().token.empty() && !client_.sends_token()) {
      notify(options_.notice, "HF_TOKEN is not sent, because HF_ENDPOINT is plain http");
    }
    listing_ = ask_listing();
    std::vector<std::string> paths;
    for (const RepositoryFile& file : listing_.files) paths.push_back(file.path);
    const Choice choice = choose_model(paths, name_, name_.text());
    repository_.make_folders();
    if (choice.gguf.empty()) {
      get_checkpoint(paths);
    } else {
      get({choice.gguf});
    }
    repository_.write_ref(name_.revision, listing_.commit);
    pulled_.commit = listing_.commit;
    pulled_.path = repository_.snapshot(listing_.commit);
    if (!choice.gguf.empty()) pulled_.path /= choice.gguf;
    return pulled_;
  }

 private:
  // The text at `url`, tried again where that may help.
  std::string ask(const std::string& url, const std::string& what) {
    Retry retry(options_.retry, what, options_.notice);
    while (true) {
      StringSink sink(what, kLongestListing);
      HttpRequest request;
      request.url = url;
      request.total_seconds = 10 * client_.options().stall_seconds;
      const HttpResponse response = client_.get(request, sink);
      if (response.fault.empty() && response.status == 200) return std::move(sink.text);
      if (response.fault.empty() && !may_pass(response.status)) {
        throw status_error(response, what, client_.sends_token());
      }
      retry.wait(response, reason_of(response));
    }
  }

  Listing ask_listing() { return parse_listing(ask(api_, name_.text()), api_); }

  std::string url_of(const std::string& path) const {
    return client_.options().endpoint + "/" + name_.repo() + "/resolve/" + listing_.commit + "/" +
           percent_encoded(path, true);
  }

  // Small files first; the index among them names the weights.
  void get_checkpoint(const std::vector<std::string>& paths) {
    const std::string weights = single_weights(paths, name_.text());
    get(checkpoint_files(paths));
    if (!weights.empty()) {
      get({weights});
      return;
    }
    const fs::path index = repository_.snapshot(listing_.commit) / kWeightIndex;
    get(parse_shards(read_text_file(index, kLongestIndex),
                     name_.text() + ": " + std::string(kWeightIndex)));
  }

  // A file of the list, with size and hash; these are asked for where the list has none.
  RepositoryFile described(const std::string& path) {
    const RepositoryFile* listed = listing_.find(path);
    const std::string what = name_.text() + ": " + path;
    if (listed == nullptr) {
      throw Error(ErrorCode::kCorruptFile,
                  what + " is named by the model's index, and not in the repository's list");
    }
    RepositoryFile file = *listed;
    if (file.size && !file.hash.empty()) return file;
    const Headers headers = ask_headers(path, what);
    const auto said = [&](const char* first, const char* second) {
      const auto it = headers.find(first);
      if (it != headers.end()) return it->second;
      const auto other = headers.find(second);
      return other == headers.end() ? std::string() : other->second;
    };
    if (file.hash.empty()) file.hash = hash_of_etag(said("x-linked-etag", "etag"));
    if (!file.size) file.size = parse_byte_count(said("x-linked-size", "content-length"));
    if (file.hash.empty() || !file.size) {
      throw Error(ErrorCode::kUnsupported,
                  what +
                      ": neither the list nor the file's headers say its size and hash; "
                      "expected both, because without them it cannot be checked");
    }
    return file;
  }

  Headers ask_headers(const std::string& path, const std::string& what) {
    Retry retry(options_.retry, what, options_.notice);
    while (true) {
      StringSink sink(what, 0);
      HttpRequest request;
      request.url = url_of(path);
      request.head = true;
      request.total_seconds = client_.options().stall_seconds;
      const HttpResponse response = client_.get(request, sink);
      if (response.fault.empty() && response.status >= 200 && response.status <= 399) {
        Headers headers = response.endpoint;
        if (response.status > 299) headers.erase("content-length");  // The redirect's own.
        return headers;
      }
      if (response.fault.empty() && !may_pass(response.status)) {
        throw status_error(response, what, client_.sends_token());
      }
      retry.wait(response, reason_of(response));
    }
  }

  // Whether the content is there: as a blob, or, where links cannot be made, in the snapshot.
  bool is_there(const RepositoryFile& file) const {
    if (has_size(repository_.blob(file.hash), *file.size)) return true;
    const fs::path pointer = repository_.snapshot(listing_.commit) / file.path;
    std::error_code error;
    return fs::is_regular_file(fs::symlink_status(pointer, error)) && has_size(pointer, *file.size);
  }

  void put_in_snapshot(const RepositoryFile& file) const {
    std::error_code error;
    if (fs::exists(repository_.blob(file.hash), error)) {
      repository_.place(listing_.commit, file.path, file.hash);
    }
  }

  // Bytes of these files that are still to come must fit on the disk.
  void check_space(const std::vector<RepositoryFile>& files) const {
    std::uint64_t needed = 0;
    for (const RepositoryFile& file : files) {
      std::error_code error;
      const std::uint64_t part = fs::file_size(repository_.part(file.hash), error);
      needed += *file.size - (error ? 0 : std::min(part, *file.size));
    }
    std::error_code error;
    const fs::space_info space = fs::space(repository_.folder(), error);
    if (!error && needed > space.available) {
      throw Error(ErrorCode::kLimit, options_.cache.string() + ": " + size_text(space.available) +
                                         " free found, expected the " + size_text(needed) +
                                         " that " + name_.text() + " still needs");
    }
  }

  // All of these files into the snapshot.
  void get(const std::vector<std::string>& paths) {
    std::vector<RepositoryFile> missing;
    std::uint64_t total = 0;
    for (const std::string& path : paths) {
      const RepositoryFile file = described(path);
      pulled_.files.push_back(path);
      pulled_.bytes += *file.size;
      if (is_there(file)) {
        put_in_snapshot(file);
      } else {
        missing.push_back(file);
        total += *file.size;
      }
    }
    check_space(missing);
    std::uint64_t before = 0;
    for (const RepositoryFile& file : missing) {
      download(file, [&](std::uint64_t bytes) {
        if (options_.progress) options_.progress(before + bytes, total);
      });
      before += *file.size;
    }
  }

  void download(const RepositoryFile& file, const BytesDone& done) {
    Download job;
    job.what = name_.text() + ": " + file.path;
    job.url = url_of(file.path);
    job.commit = listing_.commit;
    job.hash = file.hash;
    job.size = *file.size;
    job.part = repository_.part(file.hash);
    job.blob = repository_.blob(file.hash);
    const auto lock = take_lock(repository_.lock(file.hash), job.what, options_.notice);
    if (!is_there(file)) {
      pulled_.downloaded += fetch(client_, job, options_.retry, options_.notice, done);
    }
    put_in_snapshot(file);
  }

  const ModelName& name_;
  const PullOptions& options_;
  HttpClient client_;
  CachedRepository repository_;
  std::string api_;
  Listing listing_;
  Pulled pulled_;
};

}  // namespace

Pulled pull(const ModelName& name, const PullOptions& options) {
  return Puller(name, options).run();
}

}  // namespace tern::hub
