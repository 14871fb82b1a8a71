// The report's sections, in the order in which one asks: what, how far, how well, why, with what.
#include "tern/train/run_report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "tern/report/axis.h"
#include "tern/report/page.h"
#include "tern/train/run_log.h"

namespace tern::train {
namespace {

using report::short_number;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct NamedRun {
  std::string name;
  RunLog log;
};

// The folder's own name, or all of what was given where two runs share it.
std::vector<NamedRun> read_all(std::span<const std::filesystem::path> folders) {
  std::vector<NamedRun> runs;
  std::multiset<std::string> names;
  const auto own_name = [](const std::filesystem::path& folder) {
    const auto whole = std::filesystem::absolute(folder).lexically_normal();
    return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
  };
  for (const auto& folder : folders) names.insert(own_name(folder));
  for (const auto& folder : folders) {
    const std::string name = own_name(folder);
    runs.push_back({names.count(name) == 1 ? name : folder.string(), read_run(folder)});
  }
  return runs;
}

// --- Curves ------------------------------------------------------------------------------------

// A mean over the last fiftieth of the run, shorter at its beginning so that the first fall is not
// smeared. Steps that were skipped or had no finite value do not count.
std::vector<report::Point> smoothed(const std::vector<StepLine>& steps, double StepLine::* field) {
  std::vector<double> sums{0}, counts{0};
  for (const StepLine& s : steps) {
    const bool counted = !s.skipped && std::isfinite(s.*field);
    sums.push_back(sums.back() + (counted ? s.*field : 0));
    counts.push_back(counts.back() + (counted ? 1 : 0));
  }
  std::vector<report::Point> points;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::size_t window = std::max<std::size_t>(1, std::min(steps.size() / 50, (i + 1) / 4));
    const std::size_t from = i + 1 - window;
    const double count = counts[i + 1] - counts[from];
    points.push_back({static_cast<double>(steps[i].tokens),
                      count > 0 ? (sums[i + 1] - sums[from]) / count : kNan});
  }
  return points;
}

double last_tokens(const std::vector<NamedRun>& runs) {
  double end = 0;
  for (const NamedRun& run : runs) {
    if (!run.log.steps.empty())
      end = std::max(end, static_cast<double>(run.log.steps.back().tokens));
  }
  return end;
}

// All plots of a page have one x axis, from 0 to `end`.
report::PlotOptions over_tokens(double end, const char* title, const char* y_label) {
  report::PlotOptions options;
  options.title = title;
  options.x_label = "tokens";
  options.y_label = y_label;
  options.width = 560;
  options.height = 340;
  options.x_min = 0;
  options.x_max = end;
  return options;
}

// The first steps, whose loss is several times that of the rest, would press the rest flat: the
// frame ends where the curves stand after 3 % of their run. Says whether it cut anything off.
bool frame_without_start(const std::vector<report::Series>& series, report::PlotOptions& options) {
  double low = INFINITY, high = -INFINITY, late_high = -INFINITY;
  for (const report::Series& s : series) {
    for (const report::Point& p : s.points) {
      if (!std::isfinite(p.y)) continue;
      low = std::min(low, p.y);
      high = std::max(high, p.y);
      if (p.x >= 0.03 * s.points.back().x) late_high = std::max(late_high, p.y);
    }
  }
  if (!(late_high > low) || high - low < 1.5 * (late_high - low)) return false;
  const double room = 0.05 * (late_high - low);
  options.y_min = std::max(0.0, low - room);
  options.y_max = late_high + room;
  return true;
}

template <typename Points>
std::vector<report::Series> of_each(const std::vector<NamedRun>& runs, const Points& points) {
  std::vector<report::Series> series;
  for (const NamedRun& run : runs) series.push_back({run.name, points(run.log), false});
  return series;
}

void add_curves(const std::vector<NamedRun>& runs, report::Page& page) {
  page.heading("Curves");
  const double end = last_tokens(runs);
  const auto steps = [&](double StepLine::* field) {
    return of_each(runs, [field](const RunLog& log) { return smoothed(log.steps, field); });
  };
  const auto held_out = [&](double HeldOutLine::* field) {
    return of_each(runs, [field](const RunLog& log) {
      std::vector<report::Point> points;
      for (const HeldOutLine& h : log.held_out) {
        points.push_back({static_cast<double>(h.tokens), h.*field});
      }
      return points;
    });
  };
  report::PlotOptions loss = over_tokens(end, "Training loss", "nats per token");
  const std::vector<report::Series> losses = steps(&StepLine::loss);
  const bool cut = frame_without_start(losses, loss);
  page.paragraph(std::string("Training loss, gradient norm and speed are means over the last "
                             "fiftieth of the run; held-out values are as measured.") +
                 (cut ? " The training loss of the first steps lies above its frame." : ""));
  page.svg(report::line_plot(loss, losses));
  page.svg(report::line_plot(over_tokens(end, "Held-out loss", "nats per token"),
                             held_out(&HeldOutLine::loss)));
  page.svg(report::line_plot(over_tokens(end, "Held-out bits per byte", "bits per byte"),
                             held_out(&HeldOutLine::bits_per_byte)));
  page.svg(
      report::line_plot(over_tokens(end, "Learning rate", ""), of_each(runs, [](const RunLog& log) {
                          std::vector<report::Point> points;
                          for (const StepLine& s : log.steps) {
                            points.push_back({static_cast<double>(s.tokens), s.learning_rate});
                          }
                          return points;
                        })));
  report::PlotOptions norm = over_tokens(end, "Gradient norm", "log scale");
  norm.log_y = true;
  page.svg(report::line_plot(norm, steps(&StepLine::grad_norm)));
  page.svg(report::line_plot(over_tokens(end, "Speed", "tokens per second"),
                             steps(&StepLine::tokens_per_second)));
}

// --- The table on top --------------------------------------------------------------------------

std::string duration(double seconds) {
  if (!std::isfinite(seconds)) return "\u2013";
  if (seconds < 120) return short_number(std::round(10 * seconds) / 10) + " s";
  if (seconds < 7200) return short_number(std::round(seconds / 6) / 10) + " min";
  return short_number(std::round(seconds / 36) / 100) + " h";
}

double median_speed(const std::vector<StepLine>& steps) {
  std::vector<double> speeds;
  for (const StepLine& s : steps) {
    if (std::isfinite(s.tokens_per_second)) speeds.push_back(s.tokens_per_second);
  }
  if (speeds.empty()) return kNan;
  const auto middle = speeds.begin() + static_cast<std::ptrdiff_t>(speeds.size() / 2);
  std::nth_element(speeds.begin(), middle, speeds.end());
  return *middle;
}

double mean_zero_share(const RunLog& log) {
  if (log.weights.empty() || log.weights.back().layers.empty()) return kNan;
  double sum = 0;
  for (const LayerShares& layer : log.weights.back().layers) sum += layer.zero;
  return sum / static_cast<double>(log.weights.back().layers.size());
}

const HeldOutLine* best_held_out(const RunLog& log) {
  const HeldOutLine* best = nullptr;
  for (const HeldOutLine& h : log.held_out) {
    if (std::isfinite(h.loss) && (best == nullptr || h.loss < best->loss)) best = &h;
  }
  return best;
}

void add_summary(const std::vector<NamedRun>& runs, report::Page& page) {
  report::Table table;
  std::vector<std::string> head{""};
  for (const NamedRun& run : runs) head.push_back(run.name);
  table.cells.push_back(head);
  const auto row = [&](const char* name, const auto& value) {
    std::vector<std::string> cells{name};
    for (const NamedRun& run : runs) cells.push_back(value(run.log));
    table.cells.push_back(cells);
  };
  const auto count = [](std::size_t n) { return short_number(static_cast<double>(n)); };
  row("Architecture", [](const RunLog& r) { return r.setting("model.architecture"); });
  row("Weights", [](const RunLog& r) { return r.setting("model.weights"); });
  row("Width, layers",
      [](const RunLog& r) { return r.setting("model.hidden") + ", " + r.setting("model.layers"); });
  row("Schedule", [](const RunLog& r) {
    return r.setting("schedule.kind") + ", peak " + r.setting("schedule.learning_rate");
  });
  row("Steps", [&](const RunLog& r) { return count(r.steps.empty() ? 0 : r.steps.back().step); });
  row("Tokens",
      [&](const RunLog& r) { return count(r.steps.empty() ? 0 : r.steps.back().tokens); });
  row("Time",
      [](const RunLog& r) { return duration(r.steps.empty() ? kNan : r.steps.back().seconds); });
  row("Tokens per second, median",
      [](const RunLog& r) { return short_number(median_speed(r.steps)); });
  row("Training loss at the end, nats per token", [](const RunLog& r) {
    return short_number(r.steps.empty() ? kNan : smoothed(r.steps, &StepLine::loss).back().y);
  });
  row("Held-out loss, nats per token", [](const RunLog& r) {
    return short_number(r.held_out.empty() ? kNan : r.held_out.back().loss);
  });
  row("Held-out bits per byte", [](const RunLog& r) {
    return short_number(r.held_out.empty() ? kNan : r.held_out.back().bits_per_byte);
  });
  row("Bits per byte of all held-out text, at the end",
      [](const RunLog& r) { return short_number(r.final ? r.final->bits_per_byte : kNan); });
  row("Best held-out loss", [](const RunLog& r) {
    const HeldOutLine* best = best_held_out(r);
    return short_number(best == nullptr ? kNan : best->loss);
  });
  row("Step of the best held-out loss", [&](const RunLog& r) {
    const HeldOutLine* best = best_held_out(r);
    return best == nullptr ? "\u2013" : std::to_string(best->step);
  });
  row("Steps skipped", [&](const RunLog& r) {
    return count(static_cast<std::size_t>(std::count_if(
        r.steps.begin(), r.steps.end(), [](const StepLine& s) { return s.skipped; })));
  });
  row("Weights that are 0", [](const RunLog& r) {
    const double share = mean_zero_share(r);
    return std::isfinite(share) ? short_number(std::round(1000 * share) / 10) + " %" : "\u2013";
  });
  page.table(table);
}

// --- Digits ------------------------------------------------------------------------------------

// "model.layers.0.self_attn.q_proj" is "0.q_proj" in a plot whose every row is of some layer.
std::string short_layer_name(std::string name) {
  for (const std::string_view part : {"model.layers.", "layers."}) {
    if (name.starts_with(part)) name.erase(0, part.size());
  }
  for (const std::string_view part : {"self_attn.", "mlp."}) {
    const std::size_t at = name.find(part);
    if (at != std::string::npos) name.erase(at, part.size());
  }
  return name;
}

std::string kind_of(const std::string& layer) { return layer.substr(layer.rfind('.') + 1); }

// One line per kind of matrix (q_proj, ...): the mean over the layers, over tokens.
std::vector<report::Series> by_kind(const RunLog& log, double LayerShares::* field) {
  std::vector<report::Series> series;
  for (const WeightsLine& line : log.weights) {
    std::map<std::string, std::pair<double, double>> sums;
    for (const LayerShares& layer : line.layers) {
      if (!std::isfinite(layer.*field)) continue;
      auto& [sum, count] = sums[kind_of(layer.name)];
      sum += layer.*field;
      ++count;
    }
    for (const LayerShares& layer : line.layers) {
      const std::string kind = kind_of(layer.name);
      const auto mean = sums.find(kind);
      if (mean == sums.end()) continue;
      auto s = std::find_if(series.begin(), series.end(),
                            [&](const report::Series& known) { return known.name == kind; });
      if (s == series.end()) s = series.insert(series.end(), {kind, {}, false});
      s->points.push_back({log.tokens_at(line.step), mean->second.first / mean->second.second});
      sums.erase(mean);
    }
  }
  return series;
}

void add_digits_of(const NamedRun& run, double end, bool open, report::Page& page) {
  const WeightsLine& last = run.log.weights.back();
  page.svg(report::line_plot(over_tokens(end, "Share of weights that are 0", ""),
                             by_kind(run.log, &LayerShares::zero)));
  page.svg(
      report::line_plot(over_tokens(end, "Share of digits that changed since the last look", ""),
                        by_kind(run.log, &LayerShares::flipped)));
  std::vector<report::ShareRow> bars;
  report::Table table{{{"layer", "-1 %", "0 %", "+1 %", "changed %"}}, {}};
  const auto percent = [](double share) { return short_number(std::round(1e4 * share) / 100); };
  for (const LayerShares& layer : last.layers) {
    const std::string name = short_layer_name(layer.name);
    bars.push_back({name, {layer.minus, layer.zero, layer.plus}});
    table.cells.push_back({name, percent(layer.minus), percent(layer.zero), percent(layer.plus),
                           percent(layer.flipped)});
  }
  page.begin_details("Each layer at step " + std::to_string(last.step), open);
  page.svg(report::share_bars("Shares of -1, 0 and +1", {"-1", "0", "+1"}, bars));
  page.table(table);
  page.end_details();
}

void add_digits(const std::vector<NamedRun>& runs, report::Page& page) {
  const auto has_digits = [](const NamedRun& run) { return !run.log.weights.empty(); };
  if (std::none_of(runs.begin(), runs.end(), has_digits)) return;
  page.heading("Digits");
  for (const NamedRun& run : runs) {
    if (!has_digits(run)) continue;
    if (runs.size() > 1) page.heading(run.name, 3);
    add_digits_of(run, last_tokens(runs), runs.size() == 1, page);
  }
}

// --- Samples and configs -----------------------------------------------------------------------

void add_samples_of(const RunLog& log, std::uint64_t step, report::Page& page) {
  for (const SampleLine& sample : log.samples) {
    if (sample.step != step) continue;
    const bool whole = sample.text.starts_with(sample.prompt);
    page.preformatted((whole ? "" : sample.prompt) + sample.text);
  }
}

void add_samples(const std::vector<NamedRun>& runs, report::Page& page) {
  const auto has_samples = [](const NamedRun& run) { return !run.log.samples.empty(); };
  if (std::none_of(runs.begin(), runs.end(), has_samples)) return;
  page.heading("Samples");
  for (const NamedRun& run : runs) {
    if (!has_samples(run)) continue;
    if (runs.size() > 1) page.heading(run.name, 3);
    std::set<std::uint64_t> steps;
    for (const SampleLine& sample : run.log.samples) steps.insert(sample.step);
    const std::uint64_t last = *steps.rbegin();
    page.paragraph("At step " + std::to_string(last) + ":");
    add_samples_of(run.log, last, page);
    if (steps.size() == 1) continue;
    page.begin_details("Earlier ones", false);
    for (auto step = std::next(steps.rbegin()); step != steps.rend(); ++step) {
      page.paragraph("At step " + std::to_string(*step) + ":");
      add_samples_of(run.log, *step, page);
    }
    page.end_details();
  }
}

void add_configs(const std::vector<NamedRun>& runs, report::Page& page) {
  std::vector<std::string> keys;
  for (const NamedRun& run : runs) {
    for (const TomlValue& value : run.log.config) {
      if (std::find(keys.begin(), keys.end(), value.key) == keys.end()) keys.push_back(value.key);
    }
  }
  report::Table table;
  std::vector<std::string> head{"key"};
  for (const NamedRun& run : runs) head.push_back(run.name);
  table.cells.push_back(head);
  for (const std::string& key : keys) {
    std::vector<std::string> row{key};
    for (const NamedRun& run : runs) row.push_back(run.log.setting(key));
    const bool differs = std::any_of(row.begin() + 2, row.end(),
                                     [&](const std::string& value) { return value != row[1]; });
    if (differs) table.marked.push_back(table.cells.size());
    table.cells.push_back(row);
  }
  page.heading("Config");
  if (runs.size() > 1) page.paragraph("Keys in which the runs differ are marked.");
  page.begin_details("All keys", runs.size() > 1);
  page.table(table);
  page.end_details();
}

}  // namespace

std::string run_report(std::span<const std::filesystem::path> folders) {
  const std::vector<NamedRun> runs = read_all(folders);
  report::Page page(runs.size() == 1 ? "Training run " + runs.front().name
                                     : "Training runs side by side");
  add_summary(runs, page);
  add_curves(runs, page);
  add_digits(runs, page);
  add_samples(runs, page);
  add_configs(runs, page);
  return page.html();
}

}  // namespace tern::train
