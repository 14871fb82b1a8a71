// Which tile, which KV head, which span: the arithmetic is in kernels/attention.h.
#include "tern/model/attention_tasks.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tern::model {
namespace {

using kernels::kSpanBlocks;

// Tiles times KV heads per thread below which spans are tasks of their own.
constexpr std::size_t kFew = 4;

}  // namespace

AttentionTasks::AttentionTasks(const Model& model, ThreadPool& pool, std::size_t max_tokens)
    : model_(model), pool_(pool), block_tables_(pool.size()), open_(kFew * pool.size()) {
  const arch::ModelConfig& c = model.config();
  const std::size_t group = c.heads / c.kv_heads;  // Query heads per KV head.
  tile_tokens_ =
      std::min(kernels::kKvBlock, std::bit_floor(std::max<std::size_t>(kRows / group, 1)));
  tiles_.reserve(max_tokens);
  const std::size_t rows = tile_tokens_ * group;
  for (std::size_t worker = 0; worker < pool.size(); ++worker) {
    scratch_.emplace_back(rows, c.head_dim);
    block_tables_[worker].reserve(model.context() / kernels::kKvBlock + 2);
  }
}

void AttentionTasks::begin() noexcept {
  tiles_.clear();
  tokens_ = 0;
  dealt_ = false;
}

void AttentionTasks::add(const Session& session, std::size_t tokens) {
  const arch::ModelConfig& c = model_.config();
  const std::size_t end = session.position() + tokens;
  for (std::size_t position = session.position(); position < end;) {
    // Cut at multiples of tile_tokens_, so that a tile's tokens see the same blocks.
    const std::size_t next = std::min(end, (position / tile_tokens_ + 1) * tile_tokens_);
    Tile tile{&session, tokens_, {}, 0};
    tile.query.stride = c.q_width();
    tile.query.tokens = next - position;
    tile.query.group = c.heads / c.kv_heads;
    tile.query.position = position;
    tiles_.push_back(tile);
    tokens_ += next - position;
    position = next;
  }
}

// Decides whether spans are tasks, numbers the tasks and makes room for the spans' results.
void AttentionTasks::deal() {
  const std::size_t kv_heads = model_.config().kv_heads;
  const bool few = pool_.size() > 1 && tiles_.size() * kv_heads < kFew * pool_.size();
  by_span_ = few && std::ranges::any_of(tiles_, [](const Tile& t) { return t.query.spans() > 1; });
  tasks_ = 0;
  std::size_t rows = 0;
  for (Tile& tile : tiles_) {
    tile.first_task = tasks_;
    tasks_ += kv_heads * (by_span_ ? tile.query.spans() : 1);
    rows = std::max(rows, tile.query.rows());
  }
  if (by_span_) {
    state_floats_ = kernels::attention_state_floats(rows, model_.config().head_dim);
    // Twice what is needed, so that a text that grows seldom asks again.
    const std::size_t bytes = tasks_ * state_floats_ * sizeof(float);
    if (states_.size() < bytes) states_ = AlignedBuffer(2 * bytes);
  }
  dealt_ = true;
}

void AttentionTasks::run(std::size_t layer, const float* q, float* out) {
  if (!dealt_) deal();
  layer_ = layer;
  q_ = q;
  out_ = out;
  if (by_span_) {
    const std::size_t kv_heads = model_.config().kv_heads;
    for (std::size_t i = 0; i < tiles_.size() * kv_heads; ++i) {
      open_[i].store(tiles_[i / kv_heads].query.spans(), std::memory_order_relaxed);
    }
  }
  // From the last on, because later tokens see more keys and take longer.
  const auto work = [&](std::size_t worker) {
    for (std::size_t i = worker; i < tasks_; i += pool_.size()) {
      const Task task = task_at(tasks_ - 1 - i);
      auto& blocks = block_tables_[worker];
      blocks.clear();
      find_blocks(task, by_span_ ? kSpanBlocks : task.tile->query.blocks(), blocks);
      if (i + pool_.size() < tasks_) {
        find_blocks(task_at(tasks_ - 1 - i - pool_.size()), 1, blocks);  // Asked for ahead.
      }
      if (by_span_) {
        one_span(worker, task, blocks);
      } else {
        kernels::attention(model_.kernels(), shape(*task.tile), query(task), blocks,
                           scratch_[worker]);
      }
    }
  };
  if (tasks_ == 1) return work(0);
  pool_.run(work);
}

AttentionTasks::Task AttentionTasks::task_at(std::size_t index) const {
  const Tile& tile = *(std::ranges::upper_bound(tiles_, index, {}, &Tile::first_task) - 1);
  const std::size_t in_tile = index - tile.first_task;
  const std::size_t spans = by_span_ ? tile.query.spans() : 1;
  return {&tile, in_tile / spans, in_tile % spans};
}

kernels::QueryTile AttentionTasks::query(const Task& task) const {
  const arch::ModelConfig& c = model_.config();
  kernels::QueryTile query = task.tile->query;
  const std::size_t at = task.tile->token * c.q_width() + task.kv_head * query.group * c.head_dim;
  query.q = q_ + at;
  query.out = out_ + at;
  return query;
}

kernels::AttentionShape AttentionTasks::shape(const Tile& tile) const {
  const std::size_t head_dim = model_.config().head_dim;
  const KvPool& cache = tile.session->pool();
  return {head_dim, 1.0f / std::sqrt(static_cast<float>(head_dim)), cache.k_type(), cache.v_type()};
}

// At most `count` blocks from the task's first one on.
void AttentionTasks::find_blocks(const Task& task, std::size_t count,
                                 std::vector<kernels::KvBlockView>& blocks) const {
  const Tile& tile = *task.tile;
  KvPool& cache = tile.session->pool();
  const std::size_t first = task.span * kSpanBlocks;
  const std::size_t end = std::min(first + count, tile.query.blocks());
  for (std::size_t b = first; b < end; ++b) {
    const std::uint32_t block = tile.session->blocks()[b];
    blocks.push_back(
        {cache.keys(block, layer_, task.kv_head), cache.values(block, layer_, task.kv_head)});
  }
}

// Whoever comes last of a KV head's spans folds them.
void AttentionTasks::one_span(std::size_t worker, const Task& task,
                              std::span<const kernels::KvBlockView> blocks) {
  const Tile& tile = *task.tile;
  const std::size_t spans = tile.query.spans(), kv_heads = model_.config().kv_heads;
  const kernels::KernelTable& table = model_.kernels();
  const kernels::QueryTile rows = query(task);
  float* states =
      states_.as<float>().data() + (tile.first_task + task.kv_head * spans) * state_floats_;
  kernels::attention_span(table, shape(tile), rows, task.span, blocks, scratch_[worker],
                          states + task.span * state_floats_);
  const auto tile_index = static_cast<std::size_t>(&tile - tiles_.data());
  auto& open = open_[tile_index * kv_heads + task.kv_head];
  if (open.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  for (std::size_t s = 1; s < spans; ++s) {
    kernels::attention_fold(table, model_.config().head_dim, rows.rows(), states,
                            states + s * state_floats_);
  }
  kernels::attention_finish(table, shape(tile), rows, states);
}

}  // namespace tern::model
