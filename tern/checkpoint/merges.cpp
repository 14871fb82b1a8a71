// Cuts every piece in two wherever both halves are pieces.
#include "tern/checkpoint/merges.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>

namespace tern::checkpoint {
namespace {

using tokenizer::TokenizerData;
using tokenizer::TokenType;
using Ids = std::unordered_map<std::string_view, std::uint32_t>;

bool in_the_middle_of_a_character(std::string_view text, std::size_t at) noexcept {
  return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

bool takes_part(const TokenizerData& data, std::size_t id) noexcept {
  return id >= data.types.size() || data.types[id] == TokenType::kNormal;
}

// The pieces of `order`, each cut in two in every way, by the ids of the parts.
Merges cut_all(const TokenizerData& data, const std::vector<std::uint32_t>& order) {
  Ids ids;
  for (std::uint32_t id = 0; id < data.pieces.size(); ++id) {
    if (takes_part(data, id)) ids.emplace(data.pieces[id], id);
  }
  Merges merges;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> cuts;
  for (const std::uint32_t id : order) {
    const std::string_view piece = data.pieces[id];
    cuts.clear();
    for (std::size_t at = 1; at < piece.size(); ++at) {
      if (in_the_middle_of_a_character(piece, at)) continue;
      const auto left = ids.find(piece.substr(0, at));
      const auto right = ids.find(piece.substr(at));
      if (left != ids.end() && right != ids.end()) cuts.emplace_back(left->second, right->second);
    }
    std::ranges::sort(cuts);
    for (const auto& [left, right] : cuts) {
      merges.emplace_back(data.pieces[left], data.pieces[right]);
    }
  }
  return merges;
}

std::vector<std::uint32_t> normal_pieces(const TokenizerData& data) {
  std::vector<std::uint32_t> order;
  for (std::uint32_t id = 0; id < data.pieces.size(); ++id) {
    if (takes_part(data, id)) order.push_back(id);
  }
  return order;
}

}  // namespace

Merges merges_of_scores(const TokenizerData& data) {
  std::vector<std::uint32_t> order = normal_pieces(data);
  std::ranges::sort(order, [&](std::uint32_t a, std::uint32_t b) {
    return data.scores[a] != data.scores[b] ? data.scores[a] > data.scores[b] : a < b;
  });
  return cut_all(data, order);
}

Merges merges_of_ranks(const TokenizerData& data) { return cut_all(data, normal_pieces(data)); }

std::vector<float> scores_of_merges(const TokenizerData& data) {
  std::unordered_map<std::string, float> scores;
  for (const auto& [left, right] : data.merges) {
    scores.emplace(left + right, -static_cast<float>(scores.size()));
  }
  const float lowest = -static_cast<float>(scores.size()) - 1;
  std::vector<float> out(data.pieces.size(), 0.0f);
  for (std::size_t id = 0; id < out.size(); ++id) {
    const auto found = scores.find(data.pieces[id]);
    if (found != scores.end()) {
      out[id] = found->second;
    } else if (takes_part(data, id)) {
      out[id] = lowest;
    }
  }
  return out;
}

}  // namespace tern::checkpoint
