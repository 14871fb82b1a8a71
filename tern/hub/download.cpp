// Ranges, sizes, hashes.
#include "tern/hub/download.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <optional>
#include <system_error>

#include "tern/base/append_file.h"
#include "tern/base/error.h"
#include "tern/hub/content_hash.h"
#include "tern/hub/listing.h"
#include "tern/hub/model_name.h"

namespace tern::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kProgress = 1 << 20;  // Bytes further that make a try one that got on.

// The part file: what is there, its hash so far, and what comes on top.
class Part : public BodySink {
 public:
  Part(const Download& download, const BytesDone& done) : download_(download), done_(done) {
    std::error_code error;
    const auto size = fs::file_size(download.part, error);
    open(error || size > download.size ? 0 : size);
    resumed_ = size_ > 0;
  }

  std::uint64_t size() const noexcept { return size_; }
  std::uint64_t received() const noexcept { return received_; }
  bool resumed() const noexcept { return resumed_; }  // Holds bytes of an earlier run.
  bool complete() const noexcept { return size_ == download_.size; }
  const std::string& etag() const noexcept { return etag_; }
  const std::string& origin() const noexcept { return origin_; }

  void restart() {
    open(0);
    resumed_ = false;
  }

  // Checks what the response says it will send, before a byte of it is taken.
  void begin(const HttpResponse& response) override {
    check_identity(response);
    if (response.status == 206) {
      check_range(response);
    } else if (size_ > 0) {
      restart();  // The server sends everything, whatever was asked.
    }
    const std::string* length = response.header("content-length");
    const auto bytes = length == nullptr ? std::nullopt : parse_byte_count(*length);
    if (bytes && *bytes != download_.size - size_) {
      fail("Content-Length " + std::to_string(*bytes) + " found, expected " +
           std::to_string(download_.size - size_));
    }
    const std::string* etag = response.header("etag");
    const bool strong = etag != nullptr && etag->starts_with('"');
    etag_ = strong ? *etag : "";
    origin_ = response.origin;
  }

  void write(std::string_view bytes) override {
    if (bytes.size() > download_.size - size_) {
      remove();
      fail("more than the " + std::to_string(download_.size) +
           " bytes found that the repository's list has");
    }
    file_->append(bytes);
    hash_->update(bytes);
    size_ += bytes.size();
    received_ += bytes.size();
    if (done_) done_(size_);
  }

  // The complete part becomes the blob. False where it is wrong and is gone now; `found` is then
  // its hash.
  bool finish(std::string& found) {
    found = hash_->finish();
    if (found != download_.hash) {
      remove();
      return false;
    }
    file_->sync();
    file_.reset();
    std::error_code error;
    fs::rename(download_.part, download_.blob, error);
    if (error) {
      throw Error(ErrorCode::kIo, download_.blob.string() + ": cannot create: " + error.message());
    }
    return true;
  }

  [[noreturn]] void fail(const std::string& reason) const {
    throw Error(ErrorCode::kCorruptFile, download_.what + ": " + reason);
  }

 private:
  // Opens the file cut to `keep` bytes, and hashes those.
  void open(std::uint64_t keep) {
    file_.reset();
    hash_ = std::make_unique<ContentHash>(download_.hash, download_.size);
    file_.emplace(download_.part, keep);
    size_ = keep;
    if (keep > 0) hash_file(keep);
    if (done_) done_(size_);
  }

  void hash_file(std::uint64_t bytes) {
    std::ifstream file(download_.part, std::ios::binary);
    std::string buffer(1 << 20, '\0');
    while (bytes > 0) {
      const std::uint64_t wanted = std::min<std::uint64_t>(bytes, buffer.size());
      file.read(buffer.data(), static_cast<std::streamsize>(wanted));
      if (!file) {
        throw Error(ErrorCode::kIo, download_.part.string() + ": cannot read the whole file");
      }
      hash_->update(std::string_view(buffer).substr(0, wanted));
      bytes -= wanted;
    }
  }

  void remove() {
    file_.reset();
    std::error_code ignored;
    fs::remove(download_.part, ignored);
  }

  // What the endpoint's own headers say of commit, hash and size must be what the list says: a
  // contradiction is found before gigabytes have come.
  void check_identity(const HttpResponse& response) const {
    const auto said = [&](const char* name) {
      const auto it = response.endpoint.find(name);
      return it == response.endpoint.end() ? std::string() : it->second;
    };
    const std::string commit = said("x-repo-commit");
    if (!commit.empty() && commit != download_.commit) {
      fail("commit '" + shown(commit) + "' found, expected " + download_.commit);
    }
    const std::string linked = hash_of_etag(said("x-linked-etag"));
    const std::string hash = linked.empty() ? hash_of_etag(said("etag")) : linked;
    if (hash.size() == download_.hash.size() && hash != download_.hash) {
      fail("ETag " + hash + " found, expected " + download_.hash);
    }
    const auto size = parse_byte_count(said("x-linked-size"));
    if (size && *size != download_.size) {
      fail("X-Linked-Size " + std::to_string(*size) + " found, expected " +
           std::to_string(download_.size));
    }
  }

  void check_range(const HttpResponse& response) const {
    const std::string* text = response.header("content-range");
    const auto range = text == nullptr ? std::nullopt : parse_content_range(*text);
    if (!range || range->first != size_ || range->last != download_.size - 1 ||
        (range->total && *range->total != download_.size)) {
      fail("Content-Range '" + (text == nullptr ? "" : shown(*text)) + "' found, expected bytes " +
           std::to_string(size_) + "-" + std::to_string(download_.size - 1) + "/" +
           std::to_string(download_.size));
    }
  }

  const Download& download_;
  const BytesDone& done_;
  std::optional<AppendFile> file_;
  std::unique_ptr<ContentHash> hash_;
  std::uint64_t size_ = 0;
  std::uint64_t received_ = 0;
  bool resumed_ = false;
  std::string etag_, origin_;  // Of the last response that gave bytes, within this run.
};

// Tries until the part has all its bytes.
void fill(HttpClient& client, const Download& download, Part& part, Retry& retry) {
  bool asked = false;
  std::uint64_t furthest = part.size();  // A server that begins anew each time gets nowhere.
  while (!part.complete() || (download.size == 0 && !asked)) {
    HttpRequest request;
    request.url = download.url;
    request.from = part.size();
    request.if_range = part.etag();
    request.if_range_origin = part.origin();
    const HttpResponse response = client.get(request, part);
    asked = true;
    const bool progressed = part.size() >= furthest + kProgress;
    if (progressed) furthest = part.size();
    if (response.fault.empty() && response.status == 416 && part.size() > 0) {
      part.restart();
      retry.wait(response, reason_of(response));
      continue;
    }
    const bool right = response.status >= 200 && response.status <= 299;
    if (response.fault.empty() && !right && !may_pass(response.status)) {
      throw status_error(response, download.what, client.sends_token());
    }
    if (part.complete() && right) continue;
    const bool short_answer = response.fault.empty() && right;
    retry.wait(response,
               short_answer ? "the answer ends after " + std::to_string(part.size()) + " of " +
                                  std::to_string(download.size) + " bytes"
                            : reason_of(response),
               progressed);
  }
}

}  // namespace

Error status_error(const HttpResponse& response, const std::string& what, bool sent_token) {
  const auto it = response.endpoint.find("x-error-code");
  const std::string code = it == response.endpoint.end() ? "" : it->second;
  std::string reason;
  switch (response.status) {
    case 401:
      reason = sent_token ? "the Hub refuses the token in HF_TOKEN (401), or there is no such "
                            "repository"
                          : "the Hub says 401: there is no such repository, or it is private; set "
                            "HF_TOKEN to a token that may read it";
      break;
    case 403:
      reason = sent_token ? "the Hub says 403: the token in HF_TOKEN may not read this; accept the "
                            "repository's terms on its page, or use another token"
                          : "the Hub says 403: this needs a token; set HF_TOKEN to one that may "
                            "read it";
      break;
    case 404:
      reason = code == "RevisionNotFound" ? "the Hub has no such revision (404)"
               : code == "EntryNotFound"  ? "the Hub has no such file (404)"
                                         : "the Hub has no such repository, revision or file (404)";
      break;
    default:
      reason = "the server answers " + std::to_string(response.status) + ", expected 200";
  }
  return Error(ErrorCode::kIo, what + ": " + reason);
}

std::uint64_t fetch(HttpClient& client, const Download& download, const RetryOptions& options,
                    const Notice& notice, const BytesDone& done) {
  Retry retry(options, download.what, notice);
  Part part(download, done);
  while (true) {
    fill(client, download, part, retry);
    std::string found;
    if (part.finish(found)) return part.received();
    if (!part.resumed()) {
      part.fail("content with the hash " + found + " found, expected " + download.hash +
                "; what had come is removed");
    }
    notify(notice, download.what + ": what an earlier run left is wrong; beginning anew");
    part.restart();
  }
}

}  // namespace tern::hub
