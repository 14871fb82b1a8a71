// Rows, peers and profiles in words.
#include "tern/cli/bench_print.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "tern/base/json.h"
#include "tern/base/system.h"
#include "tern/base/version.h"
#include "tern/cli/bench_peers.h"

namespace tern::cli {
namespace {

// A peer's published figure, and what it would be at the ceiling of this row.
struct ScaledPeer {
  const Peer* peer = nullptr;
  double scaled = 0;
};

std::optional<ScaledPeer> peer_of(std::string_view shape, const BenchRow& row) {
  const Peer* peer = find_peer(shape, row.test.name(), row.threads);
  if (peer == nullptr) return std::nullopt;
  const double here = peer->bound_by_read ? row.ceilings.read : row.ceilings.int8_macs;
  return ScaledPeer{peer, peer->tokens_per_second * here / peer->ceiling};
}

// The share that the test is judged by: reading for one sequence that generates, else arithmetic.
double main_share(const BenchRow& row) {
  return row.test.kind == BenchKind::kGenerate ? row.read_share : row.int8_share;
}

const char* bound_name(const BenchRow& row) {
  return row.test.kind == BenchKind::kGenerate ? "read" : "int8";
}

// Of one operation, per token.
struct OpLine {
  std::string_view name;
  double seconds, share, bytes, macs, floor;
};

std::vector<OpLine> lines_of(const BenchProfile& p) {
  const auto tokens = static_cast<double>(p.tokens);
  double total = 0;
  std::vector<OpLine> lines;
  for (std::size_t op = 0; op < model::kOpNames.size(); ++op) {
    const model::OpCost& cost = p.profile.cost(static_cast<model::Op>(op));
    const double bytes = static_cast<double>(cost.bytes) / tokens;
    const double macs = static_cast<double>(cost.macs) / tokens;
    total += cost.seconds / tokens;
    lines.push_back({model::kOpNames[op], cost.seconds / tokens, 0, bytes, macs,
                     std::max(bytes / p.ceilings.read, macs / p.ceilings.int8_macs)});
  }
  OpLine all{"all", total, 0, 0, 0, 0};
  for (const OpLine& line : lines) {
    all.bytes += line.bytes;
    all.macs += line.macs;
    all.floor += line.floor;
  }
  lines.push_back(all);
  for (OpLine& line : lines) line.share = total > 0 ? line.seconds / total : 0;
  return lines;
}

Json to_json(const kernels::Ceilings& c) {
  return {{"read_bytes_per_second", c.read},
          {"int8_macs_per_second", c.int8_macs},
          {"barrier_seconds", c.barrier},
          {"pool_run_seconds", c.pool_run}};
}

Json to_json(const BenchLoad& load) {
  return {{"layout", layout_name(load.layout)},
          {"bytes_per_token", load.bytes_per_token},
          {"threads", load.threads},
          {"page_cache", load.cached},
          {"seconds", load.median},
          {"samples", load.samples},
          {"weight_bytes", load.weight_bytes},
          {"kv_bytes", load.kv_bytes},
          {"peak_resident_bytes", load.peak_resident_bytes}};
}

Json to_json(std::string_view shape, const BenchRow& r) {
  Json json = {{"test", r.test.name()},
               {"threads", r.threads},
               {"layout", layout_name(r.layout)},
               {"depth", r.test.depth},
               {"sequences", r.test.kind == BenchKind::kParallel ? r.test.n : 1},
               {"tokens_per_second", r.mean},
               {"deviation", r.deviation},
               {"samples", r.samples},
               {"read_share", r.read_share},
               {"int8_share", r.int8_share},
               {"bound", bound_name(r)},
               {"share_of_ceiling", main_share(r)},
               {"bytes", r.bytes},
               {"macs", r.macs}};
  json.update(to_json(r.ceilings));
  if (const auto peer = peer_of(shape, r)) {
    json["peer"] = {{"engine", peer->peer->engine},
                    {"tokens_per_second", peer->peer->tokens_per_second},
                    {"scaled", peer->scaled},
                    {"ratio", r.mean / peer->scaled}};
  }
  return json;
}

Json to_json(const BenchProfile& p) {
  Json operations = Json::array();
  for (const OpLine& line : lines_of(p)) {
    operations.push_back({{"name", line.name},
                          {"seconds", line.seconds},
                          {"share", line.share},
                          {"bytes", line.bytes},
                          {"macs", line.macs},
                          {"floor_seconds", line.floor}});
  }
  Json json = {{"test", p.test.name()},
               {"threads", p.threads},
               {"layout", layout_name(p.layout)},
               {"tokens", p.tokens},
               {"per_token", operations}};
  json.update(to_json(p.ceilings));
  return json;
}

void print_json(const std::string& name, std::string_view shape, const model::Model& model,
                std::span<const BenchLoad> loads, const BenchResult& result) {
  Json rows = Json::array(), profiles = Json::array();
  for (const BenchRow& r : result.rows) rows.push_back(to_json(shape, r));
  for (const BenchProfile& p : result.profiles) profiles.push_back(to_json(p));
  Json json = {{"model", name},
               {"version", version_text()},
               {"cpu", cpu_model()},
               {"kernels", kernels::table_name(model.kernels())},
               {"bytes_per_token", loads[0].bytes_per_token},
               {"ternary_macs_per_token", model.ternary_macs_per_token()},
               {"load", to_json(loads[0])},
               {"results", rows}};
  for (const BenchLoad& load : loads.subspan(1)) json["more_loads"].push_back(to_json(load));
  if (!shape.empty()) json["shape"] = shape;
  if (!result.profiles.empty()) json["profiles"] = profiles;
  if (std::ranges::any_of(rows, [](const Json& r) { return r.contains("peer"); })) {
    json["peers_source"] = kPeersSource;
  }
  fmt::print("{}\n", dump_json(json, 2));
}

void print_csv(const std::string& name, std::string_view shape, const model::Model& model,
               const BenchResult& result) {
  fmt::print(
      "model,kernels,layout,threads,test,tokens_per_second,deviation,read_share,int8_share,read_gb_"
      "s,"
      "int8_gmac_s,barrier_ns,pool_run_ns,peer,peer_tokens_per_second,peer_scaled\n");
  for (const BenchRow& r : result.rows) {
    fmt::print("{},{},{},{},{},{:.3f},{:.3f},{:.4f},{:.4f},{:.2f},{:.1f},{:.0f},{:.0f},", name,
               kernels::table_name(model.kernels()), layout_name(r.layout), r.threads,
               r.test.name(), r.mean, r.deviation, r.read_share, r.int8_share,
               r.ceilings.read / 1e9, r.ceilings.int8_macs / 1e9, r.ceilings.barrier * 1e9,
               r.ceilings.pool_run * 1e9);
    if (const auto peer = peer_of(shape, r)) {
      fmt::print("{},{},{:.2f}\n", peer->peer->engine, peer->peer->tokens_per_second, peer->scaled);
    } else {
      fmt::print(",,\n");
    }
  }
}

void print_rows(std::string_view shape, const std::vector<BenchRow>& rows) {
  const bool peers =
      std::ranges::any_of(rows, [&](const BenchRow& r) { return peer_of(shape, r).has_value(); });
  fmt::print(
      "| threads | layout | test           | tokens/s         | of read | of int8 | read GB/s | "
      "int8 GMAC/s "
      "| barrier ns |{}\n",
      peers ? " peer         | peer tokens/s | scaled | ratio |" : "");
  fmt::print(
      "|--------:|--------|----------------|-----------------:|--------:|--------:|----------:|----"
      "--------:"
      "|-----------:|{}\n",
      peers ? "--------------|--------------:|-------:|------:|" : "");
  for (const BenchRow& r : rows) {
    const std::string barrier =
        r.threads > 1 ? fmt::format("{:.0f}", r.ceilings.barrier * 1e9) : std::string("-");
    fmt::print(
        "| {:>7} | {:<6} | {:<14} | {:>8.2f} ± {:>5.2f} | {:>7.2f} | {:>7.2f} | {:>9.1f} | "
        "{:>11.0f} | "
        "{:>10} |",
        r.threads, layout_name(r.layout), r.test.name(), r.mean, r.deviation, r.read_share,
        r.int8_share, r.ceilings.read / 1e9, r.ceilings.int8_macs / 1e9, barrier);
    if (const auto peer = peer_of(shape, r)) {
      fmt::print(" {:<12} | {:>13.1f} | {:>6.1f} | {:>5.2f} |", peer->peer->engine,
                 peer->peer->tokens_per_second, peer->scaled, r.mean / peer->scaled);
    } else if (peers) {
      fmt::print(" {:<12} | {:>13} | {:>6} | {:>5} |", "", "", "", "");
    }
    fmt::print("\n");
  }
  if (peers) {
    fmt::print("\nPeers: {}; scaled by this row's ceiling over theirs.\n", kPeersSource);
  }
}

void print_profile(const BenchProfile& p) {
  fmt::print(
      "\nWhere a token's time goes: {}, {} {}, {} digits a byte, {:.1f} GB/s, {:.0f} GMAC/s\n\n"
      "| operation   |       ms | share |       MB |   GB/s |    MMAC | GMAC/s | floor ms | times "
      "the floor |\n"
      "|-------------|---------:|------:|---------:|-------:|--------:|-------:|---------:|------"
      "----------:|\n",
      p.test.name(), p.threads, p.threads == 1 ? "thread" : "threads", layout_name(p.layout),
      p.ceilings.read / 1e9, p.ceilings.int8_macs / 1e9);
  for (const OpLine& line : lines_of(p)) {
    const double seconds = std::max(line.seconds, 1e-12);
    const std::string distance =
        line.floor > 0 ? fmt::format("{:.2f}", seconds / line.floor) : std::string("-");
    fmt::print(
        "| {:<11} | {:>8.4f} | {:>5.3f} | {:>8.3f} | {:>6.1f} | {:>7.1f} | {:>6.0f} | {:>8.4f} | "
        "{:>15} |\n",
        line.name, line.seconds * 1e3, line.share, line.bytes / 1e6, line.bytes / seconds / 1e9,
        line.macs / 1e6, line.macs / seconds / 1e9, line.floor * 1e3, distance);
  }
}

void print_load(const model::Model& model, const BenchLoad& load) {
  const auto mb = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  const auto [least, most] = std::ranges::minmax(load.samples);
  fmt::print(
      "\nWith {} digits a byte a token reads {:.0f} MB of weights and takes {:.2f} G ternary "
      "multiply-adds. Loading took {:.2f} s (median of {}, {:.2f} to {:.2f}; {}). Peak memory "
      "{:.0f} MB: weights {:.0f}, KV cache {:.0f}, all else {:.0f}.\n",
      layout_name(load.layout), mb(load.bytes_per_token),
      static_cast<double>(model.ternary_macs_per_token()) / 1e9, load.median, load.samples.size(),
      least, most, load.cached ? "file in the page cache" : "file as it was found",
      mb(load.peak_resident_bytes), mb(load.weight_bytes), mb(load.kv_bytes),
      mb(load.peak_resident_bytes) - mb(load.weight_bytes) - mb(load.kv_bytes));
}

void print_markdown(const std::string& name, std::string_view shape, const model::Model& model,
                    std::span<const BenchLoad> loads, const BenchResult& result) {
  fmt::print("{}, {} kernels, {}\n\n", name, kernels::table_name(model.kernels()), cpu_model());
  print_rows(shape, result.rows);
  for (const BenchLoad& load : loads) print_load(model, load);
  for (const BenchProfile& p : result.profiles) print_profile(p);
}

}  // namespace

void print_bench(const std::string& output, const std::string& name, const model::Model& model,
                 std::span<const BenchLoad> loads, const BenchResult& result) {
  const std::string_view shape = shape_of(model.config());
  if (output == "json") return print_json(name, shape, model, loads, result);
  if (output == "csv") return print_csv(name, shape, model, result);
  print_markdown(name, shape, model, loads, result);
}

}  // namespace tern::cli
