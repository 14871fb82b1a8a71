// Which instruction sets this binary has kernels for, and which one runs.
#pragma once

#include <span>
#include <string_view>

#include "tern/tensor/ternary_code.h"

namespace tern::kernels {

struct KernelTable;  // kernel_table.h; callers only pass it on.

// Fastest first, scalar last. Tables of this processor family only, usable here or not.
std::span<const KernelTable* const> all_tables() noexcept;
std::string_view table_name(const KernelTable& table) noexcept;
bool table_supported(const KernelTable& table) noexcept;

// The table called `forced`, or the fastest usable one where that is empty. Throws
// Error(kUnsupported) naming the choices where `forced` is unknown or not usable on this CPU.
const KernelTable& choose_table(std::string_view forced);

// choose_table(TERN_ISA). Throws as choose_table does.
const KernelTable& table_from_environment();

// Whether the table's integer kernels read ternary matrices of this layout.
bool table_has_layout(const KernelTable& table, TernaryLayout layout) noexcept;

}  // namespace tern::kernels
