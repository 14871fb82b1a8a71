// One product with the output matrix (the embedding, where the head is tied), or a screen of it.
#include "tern/model/head.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "tern/kernels/dense.h"
#include "tern/kernels/ternary.h"

namespace tern::model {
namespace {

using kernels::kScreenPanel;

constexpr std::size_t kRowsAhead = 32;  // Of survivors(): asked for before they are summed.
constexpr std::size_t kAlone = 2;   // Hidden states that are screened one by one, which is faster.
constexpr std::size_t kChunk = 32;  // Hidden states that are screened in one pass over the head.
constexpr float kNever = -std::numeric_limits<float>::infinity();

std::size_t panels_of(std::size_t rows) { return (rows + kScreenPanel - 1) / kScreenPanel; }

// The part of [0, count) of one of `parts`.
std::pair<std::size_t, std::size_t> part_of(std::size_t count, std::size_t part,
                                            std::size_t parts) {
  return {count * part / parts, count * (part + 1) / parts};
}

bool is_within(float logit, float best, float within) noexcept {
  return static_cast<double>(logit) >= static_cast<double>(best) - static_cast<double>(within);
}

// Cuts `found` down to what was asked for, best first.
void keep_best(std::vector<TokenLogit>& found, const BestRequest& request) {
  const std::size_t count =
      request.count == 0 ? found.size() : std::min(request.count, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), found.end(),
                    better);
  found.resize(count);
  if (request.count != 0 || found.empty()) return;
  const auto end = std::ranges::find_if_not(found, [&](const TokenLogit& one) {
    return is_within(one.logit, found.front().logit, request.within);
  });
  found.erase(end, found.end());
}

}  // namespace

void Head::logits(std::span<const float> hidden, std::span<float> logits, ThreadPool& pool,
                  Profile* profile) const {
  if (profile != nullptr) profile->start();
  const std::size_t width = model_->config().hidden;
  const std::size_t vocab = model_->config().vocab;
  const std::size_t tokens = hidden.size() / width;
  assert(logits.size() == tokens * vocab);
  if (const auto* ternary = std::get_if<TernaryMatrix>(&model_->head())) {
    kernels::ternary_matmul_float(model_->kernels(), *ternary, hidden.data(), width, tokens,
                                  logits.data(), vocab, pool);
  } else if (const auto* sliced = std::get_if<SlicedMatrix>(&model_->head())) {
    kernels::sliced_matmul(model_->kernels(), *sliced, hidden.data(), width, tokens, logits.data(),
                           vocab, pool);
  } else {
    kernels::dense_matmul(model_->kernels(), std::get<DenseMatrix>(model_->head()), hidden.data(),
                          width, tokens, logits.data(), vocab, pool);
  }
  if (profile != nullptr) {
    profile->mark(Op::kHead, model_->head_bytes_per_token(), tokens * vocab * width);
  }
}

BestWork Head::best(std::span<const float> hidden, std::span<const BestRequest> requests,
                    std::span<std::vector<TokenLogit>> lists, ThreadPool& pool, Profile* profile) {
  if (profile != nullptr) profile->start();
  const std::size_t width = model_->config().hidden, vocab = model_->config().vocab;
  assert(hidden.size() == requests.size() * width && lists.size() == requests.size());
  const auto* sliced = std::get_if<SlicedMatrix>(&model_->head());
  BestWork work;
  for (std::size_t begin = 0; begin < requests.size(); begin += kChunk) {
    const std::size_t tokens = std::min(kChunk, requests.size() - begin);
    const auto states = hidden.subspan(begin * width, tokens * width);
    bool bounded = sliced != nullptr;
    if (bounded) input_.resize(tokens, sliced->blocks());
    for (std::size_t t = 0; bounded && t < tokens; ++t) {
      bounded = input_.set(t, states.data() + t * width, *sliced);
    }
    if (bounded) {
      screen(*sliced, states, requests.subspan(begin, tokens), lists.subspan(begin, tokens), pool,
             work);
      continue;
    }
    all_.resize(tokens * vocab);
    logits(states, all_, pool);
    work.bytes += matrix_bytes(model_->head());
    work.exact += tokens * vocab;
    for (std::size_t t = 0; t < tokens; ++t) {
      choose_from_all(std::span(all_).subspan(t * vocab, vocab), requests[begin + t],
                      lists[begin + t]);
    }
  }
  if (profile != nullptr) {
    profile->mark(Op::kHead, work.bytes, requests.size() * vocab * width);
  }
  return work;
}

void Head::choose_from_all(std::span<float> logits, const BestRequest& request,
                           std::vector<TokenLogit>& list) {
  std::vector<TokenLogit> last;  // Behind the best ones.
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (!std::isfinite(logits[id])) last.push_back({static_cast<std::uint32_t>(id), logits[id]});
  }
  for (const std::uint32_t id : request.always) {
    if (std::isfinite(logits[id])) last.push_back({id, logits[id]});
    logits[id] = std::numeric_limits<float>::quiet_NaN();  // No longer among the others.
  }
  found_.clear();
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (std::isfinite(logits[id])) found_.push_back({static_cast<std::uint32_t>(id), logits[id]});
  }
  keep_best(found_, request);
  list.assign(found_.begin(), found_.end());
  list.insert(list.end(), last.begin(), last.end());
}

void Head::screen(const SlicedMatrix& head, std::span<const float> hidden,
                  std::span<const BestRequest> requests, std::span<std::vector<TokenLogit>> lists,
                  ThreadPool& pool, BestWork& work) {
  const std::size_t tokens = requests.size(), vocab = head.rows(), panels = panels_of(vocab);
  upper_.resize(tokens * vocab);
  maxima_.resize(tokens * panels);
  const bool closest = tokens > kAlone;  // One pass over all bits serves many hidden states.
  if (closest) {
    kernels::screen_many(model_->kernels(), head, input_, upper_.data(), vocab, maxima_.data(),
                         panels, pool);
    work.bytes += head.bytes();
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    if (!closest) {
      kernels::screen(model_->kernels(), head, input_[t], upper_.data() + t * vocab,
                      maxima_.data() + t * panels, pool);
      work.bytes += vocab * head.record_bytes();
    }
    choose_by_bounds(head, hidden.data() + t * head.cols(), t, closest, requests[t], lists[t], pool,
                     work);
  }
}

void Head::choose_by_bounds(const SlicedMatrix& head, const float* hidden, std::size_t t,
                            bool closest, const BestRequest& request, std::vector<TokenLogit>& list,
                            ThreadPool& pool, BestWork& work) {
  const std::size_t vocab = head.rows(), panels = panels_of(vocab);
  const auto upper = std::span(upper_).subspan(t * vocab, vocab);
  const auto maxima = std::span(maxima_).subspan(t * panels, panels);
  const auto compute = [&](std::span<TokenLogit> rows) {
    pool.parallel_for(rows.size(), 1, [&](std::size_t begin, std::size_t end) {
      for (TokenLogit& row : rows.subspan(begin, end - begin)) {
        row.logit = kernels::sliced_dot(model_->kernels(), head, row.id, hidden);
      }
    });
    work.exact += rows.size();
    work.bytes += rows.size() * (head.record_bytes() + head.low_bytes());
  };
  std::vector<TokenLogit> last;
  for (const std::uint32_t id : request.always) {
    last.push_back({id, 0});
    upper[id] = kNever;
  }
  for (const std::uint32_t id : request.always) {
    const std::size_t first = id / kScreenPanel * kScreenPanel;
    maxima[id / kScreenPanel] =
        std::ranges::max(upper.subspan(first, std::min(kScreenPanel, vocab - first)));
  }
  compute(last);

  // Exact logits of the rows with the largest bounds: what is wanted has at least the least of
  // them, and every row whose bound is below that is out.
  const std::size_t count = std::min(std::max<std::size_t>(request.count, 1), vocab - last.size());
  found_.clear();
  if (count > 0) {
    const float seed = seed_threshold(upper, maxima, count);
    for (std::size_t p = 0; p < panels; ++p) {
      if (maxima[p] < seed) continue;
      for (std::size_t r = p * kScreenPanel; r < std::min(vocab, (p + 1) * kScreenPanel); ++r) {
        if (upper[r] >= seed && upper[r] != kNever) {
          found_.push_back({static_cast<std::uint32_t>(r), upper[r]});
        }
      }
    }
    std::ranges::nth_element(found_, found_.begin() + static_cast<std::ptrdiff_t>(count - 1),
                             better);
    found_.resize(count);
    for (const TokenLogit& row : found_) upper[row.id] = kNever;
    compute(found_);
    const float worst = std::ranges::max_element(found_, better)->logit;
    const float least =
        request.count > 0 ? worst
                          : std::nextafter(static_cast<float>(static_cast<double>(worst) -
                                                              static_cast<double>(request.within)),
                                           kNever);
    const std::size_t seeds = found_.size();
    work.bytes += survivors(head, t, closest, upper, maxima, least, pool);
    for (const auto& ids : per_worker_) {
      for (const std::uint32_t id : ids) found_.push_back({id, 0});
    }
    compute(std::span(found_).subspan(seeds));
    keep_best(found_, request);
  }
  list.assign(found_.begin(), found_.end());
  list.insert(list.end(), last.begin(), last.end());
}

// A number that the bounds of at least `count` rows reach.
float Head::seed_threshold(std::span<const float> upper, std::span<const float> maxima,
                           std::size_t count) {
  const auto from = count <= maxima.size() / 2 ? maxima : upper;
  sorted_.assign(from.begin(), from.end());
  const auto nth = sorted_.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::ranges::nth_element(sorted_, nth, std::greater<>());
  return *nth;
}

// Rows whose bound reaches `least`, in per_worker_; unless the bounds are the closest already, the
// low bits of a row have their say too. Returns the bytes read. Rows are far from each other in
// memory and asked for some rows before they are summed.
std::size_t Head::survivors(const SlicedMatrix& head, std::size_t t, bool closest,
                            std::span<const float> upper, std::span<const float> maxima,
                            float least, ThreadPool& pool) {
  per_worker_.resize(pool.size());
  std::atomic<std::size_t> looked_at{0};
  pool.run([&](std::size_t worker) {
    std::vector<std::uint32_t>& rows = per_worker_[worker];
    rows.clear();
    const auto [begin, end] = part_of(maxima.size(), worker, pool.size());
    for (std::size_t p = begin; p < end; ++p) {
      if (maxima[p] < least) continue;
      for (std::size_t r = p * kScreenPanel; r < std::min(upper.size(), (p + 1) * kScreenPanel);
           ++r) {
        if (upper[r] >= least) rows.push_back(static_cast<std::uint32_t>(r));
      }
    }
    if (closest) return;
    looked_at += rows.size();
    const auto ask_for = [&](std::size_t i) {
      if (i < rows.size()) kernels::prefetch_closer_bound(head, rows[i]);
    };
    for (std::size_t i = 0; i < kRowsAhead; ++i) ask_for(i);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ask_for(i + kRowsAhead);
      const std::uint32_t r = rows[i];
      if (kernels::closer_bound(model_->kernels(), head, input_, t, r, upper[r]) >= least) {
        rows[kept++] = r;
      }
    }
    rows.resize(kept);
  });
  return closest ? 0 : looked_at * kernels::closer_bound_bytes(head);
}

}  // namespace tern::model
