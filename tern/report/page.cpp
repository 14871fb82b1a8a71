// The document around tables and plots.
#include "tern/report/page.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "tern/base/utf8.h"

namespace tern::report {
namespace {

// Light first; a reader whose system is dark gets the same page dark. Plots carry light colours in
// attributes, which any rule here outdoes.
constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; --back: #fff; --text: #222; --soft: #666; --line: #ddd;
  --grid: #e6e6e6; --axis: #888; --tint: #f5f6f8; --mark: #fff3cf; --neutral: #c4c4c4;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #e69f00; --c5: #56b4e9;
  --c6: #444; }
@media (prefers-color-scheme: dark) { :root { --back: #16181c; --text: #e6e6e6; --soft: #a2a6ad;
  --line: #363a41; --grid: #2a2d33; --axis: #777c85; --tint: #1f2227; --mark: #4a3d12;
  --neutral: #5c6067; --c0: #56b4e9; --c1: #ef7d31; --c2: #1fbf91; --c3: #dd94bc; --c4: #f0b429;
  --c5: #f0e442; --c6: #ddd; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 24px 32px 48px; max-width: 1216px; background: var(--back);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 26px; line-height: 1.2; margin: 8px 0 16px; }
h2 { font-size: 20px; margin: 36px 0 10px; padding-top: 8px; border-top: 1px solid var(--line); }
h3 { font-size: 16px; margin: 24px 0 8px; }
p { max-width: 75ch; margin: 8px 0; }
.scroll { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
td + td, th + th { padding-left: 14px; }
.n { text-align: right; white-space: nowrap; }
tr.marked td { background: var(--mark); }
tr.marked td:first-child { box-shadow: inset 3px 0 0 var(--c4); padding-left: 9px; }
pre { margin: 8px 0; padding: 10px 14px; background: var(--tint); border-radius: 6px;
  font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin: 12px 0; }
summary { cursor: pointer; font-weight: 600; padding: 4px 0; }
figure { display: inline-block; vertical-align: top; width: calc(50% - 16px); margin: 10px 10px 18px 0; }
figure svg { display: block; width: 100%; height: auto; font-family: inherit; fill: var(--text);
  font-variant-numeric: tabular-nums; }
.title { font-size: 15px; }
.tick, .label { fill: var(--soft); }
.grid { stroke: var(--grid); }
.axis, .frame { stroke: var(--axis); }
.neutral { fill: var(--neutral); }
.on-colour { fill: var(--back); }
.on-colour, .on-neutral { font-size: 12px; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); }
.s3 { stroke: var(--c3); } .s4 { stroke: var(--c4); } .s5 { stroke: var(--c5); }
.s6 { stroke: var(--c6); }
.f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); } .f3 { fill: var(--c3); }
.f4 { fill: var(--c4); } .f5 { fill: var(--c5); } .f6 { fill: var(--c6); }
@media (max-width: 960px) { figure { width: 100%; max-width: 720px; margin-right: 0; } }
@media (max-width: 600px) { body { padding: 12px 16px 32px; }
  th, td { padding: 4px 4px 4px 0; font-size: 14px; } td + td, th + th { padding-left: 6px; }
  figure svg { font-size: 16px; } .title { font-size: 18px; }
  .on-colour, .on-neutral { font-size: 14px; } }
@media print { body { padding: 0; } figure, table { break-inside: avoid; } }
)";

// What a reader compares digit by digit: "12.3M", "-0.5", "42 %"; also a dash for "none".
bool is_number(std::string_view text) {
  for (const std::string_view unit : {"%", "k", "M", "B", "T", " min", " s", " h"}) {
    if (text.ends_with(unit)) {
      text.remove_suffix(unit.size());
      break;
    }
  }
  while (text.ends_with(' ')) text.remove_suffix(1);
  if (text == "\u2013") return true;
  if (text.starts_with("\u2212")) text.remove_prefix(3);
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && result.ec == std::errc{} && result.ptr == text.data() + text.size();
}

bool is_number_column(const Table& table, std::size_t column) {
  bool any = false;
  for (std::size_t r = 1; r < table.cells.size(); ++r) {
    if (column >= table.cells[r].size() || table.cells[r][column].empty()) continue;
    if (!is_number(table.cells[r][column])) return false;
    any = true;
  }
  return any;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : valid_utf8(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        // Control characters stand in no XML document.
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' && c != '\r') {
          out += "\uFFFD";
        } else {
          out += c;
        }
    }
  }
  return out;
}

Page::Page(std::string title) : title_(std::move(title)) {}

void Page::heading(std::string_view text, int level) {
  const std::string tag = level >= 3 ? "h3" : "h2";
  body_ += "<" + tag + ">" + escape_html(text) + "</" + tag + ">\n";
}

void Page::paragraph(std::string_view text) { body_ += "<p>" + escape_html(text) + "</p>\n"; }

void Page::preformatted(std::string_view text) {
  // A line break right after the tag would be dropped.
  body_ += "<pre>\n" + escape_html(text) + "</pre>\n";
}

void Page::table(const Table& table) {
  if (table.cells.empty()) return;
  body_ += "<div class=\"scroll\"><table>\n";
  for (std::size_t r = 0; r < table.cells.size(); ++r) {
    const bool head = r == 0;
    const bool marked =
        std::find(table.marked.begin(), table.marked.end(), r) != table.marked.end();
    if (r == 0) body_ += "<thead>";
    body_ += marked ? "<tr class=\"marked\">" : "<tr>";
    for (std::size_t c = 0; c < table.cells[r].size(); ++c) {
      const std::string& cell = table.cells[r][c];
      const bool right = head ? is_number_column(table, c) : is_number(cell);
      body_ += std::string(head ? "<th" : "<td") + (right ? " class=\"n\">" : ">") +
               escape_html(cell) + (head ? "</th>" : "</td>");
    }
    body_ += head ? "</tr></thead>\n<tbody>\n" : "</tr>\n";
  }
  body_ += "</tbody></table></div>\n";
}

void Page::svg(std::string_view element) {
  body_ += "<figure>\n" + std::string(element) + "</figure>\n";
}

void Page::begin_details(std::string_view summary, bool open) {
  body_ += std::string(open ? "<details open=\"open\">" : "<details>") + "<summary>" +
           escape_html(summary) + "</summary>\n";
}

void Page::end_details() { body_ += "</details>\n"; }

std::string Page::html() const {
  const std::string title = escape_html(title_);
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
         "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>" +
         title + "</title>\n<style>" + std::string(kStyle) + "</style>\n</head>\n<body>\n<h1>" +
         title + "</h1>\n" + body_ + "</body>\n</html>\n";
}

}  // namespace tern::report
