// Attention of a batch, cut into tasks for the thread pool.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/base/aligned_buffer.h"
#include "tern/base/thread_pool.h"
#include "tern/kernels/attention.h"
#include "tern/model/kv_pool.h"
#include "tern/model/model.h"

namespace tern::model {

// A task is a KV head and a tile: neighbouring tokens of one session that lie in one block, about
// kRows query rows. Where those are too few to keep the threads busy (one text that is continued),
// the spans of a tile (kernels/attention.h) are tasks of their own; whoever ends a tile's last one
// folds them in order. Tasks are dealt to the threads in turn, so that each knows which memory it
// reads next.
class AttentionTasks {
 public:
  AttentionTasks(const Model& model, ThreadPool& pool, std::size_t max_tokens);

  // The batch: begin(), then add() for each item in order. A session has its blocks for the new
  // tokens, but has not advanced.
  void begin() noexcept;
  void add(const Session& session, std::size_t tokens);

  // q and out: tokens x (heads * head_dim), out = attention over the layer's cache.
  void run(std::size_t layer, const float* q, float* out);

 private:
  static constexpr std::size_t kRows = 64;  // Of a tile, at most, unless one token has more.

  struct Tile {
    const Session* session;
    std::size_t token;  // First row in q.
    kernels::QueryTile query;
    std::size_t first_task;
  };

  // A KV head of a tile; where by_span_, one span of it.
  struct Task {
    const Tile* tile;
    std::size_t kv_head, span;
  };

  void deal();
  Task task_at(std::size_t index) const;
  kernels::QueryTile query(const Task& task) const;
  void find_blocks(const Task& task, std::size_t count,
                   std::vector<kernels::KvBlockView>& blocks) const;
  kernels::AttentionShape shape(const Tile& tile) const;
  void one_span(std::size_t worker, const Task& task, std::span<const kernels::KvBlockView> blocks);

  const Model& model_;
  ThreadPool& pool_;
  std::size_t tile_tokens_;  // A power of two.
  std::vector<Tile> tiles_;
  std::size_t tokens_ = 0, tasks_ = 0;
  bool dealt_ = false, by_span_ = false;

  std::size_t layer_ = 0;
  const float* q_ = nullptr;
  float* out_ = nullptr;
  std::vector<kernels::AttentionScratch> scratch_;               // Per worker.
  std::vector<std::vector<kernels::KvBlockView>> block_tables_;  // Per worker.
  std::size_t state_floats_ = 0;                                 // Of one span in states_.
  AlignedBuffer states_;                                         // One per task, where by span.
  std::vector<std::atomic<std::size_t>> open_;  // Spans to come, per tile and head.
};

}  // namespace tern::model
