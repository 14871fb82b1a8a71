// The table of filters, in two parts.
#pragma once

#include <span>
#include <string_view>

#include "tern/jinja/syntax.h"

namespace tern::jinja {

struct FilterRow {
  std::string_view name;
  FilterFunction filter;
};

std::span<const FilterRow> sequence_filters();

}  // namespace tern::jinja
