// The table of tables: a new instruction set is one file, its extern in kernel_table.h, its place
// here and one tern_kernel_isa() line in CMake.
#include "tern/kernels/dispatch.h"

#include <array>
#include <string>

#include "tern/base/error.h"
#include "tern/base/system.h"
#include "tern/kernels/kernel_table.h"

namespace tern::kernels {
namespace {

// Fastest first, kScalar last.
#if defined(__x86_64__)
constexpr std::array kTables{&kAvx512Vbmi, &kAvx512Vnni, &kAvxVnni, &kAvx2, &kScalar};
#elif defined(__aarch64__)
constexpr std::array kTables{&kNeonI8mm, &kNeonDotprod, &kScalar};
#else
constexpr std::array kTables{&kScalar};
#endif

}  // namespace

bool cpu_has_avx2() noexcept { return cpu_features().avx2; }
bool cpu_has_avxvnni() noexcept { return cpu_features().avxvnni; }
bool cpu_has_avx512vnni() noexcept { return cpu_features().avx512vnni; }
bool cpu_has_avx512vbmi() noexcept { return cpu_features().avx512vbmi; }
bool cpu_has_neon_dotprod() noexcept { return cpu_features().neon_dotprod; }
bool cpu_has_neon_i8mm() noexcept {
  return cpu_features().neon_dotprod && cpu_features().neon_i8mm;
}

std::span<const KernelTable* const> all_tables() noexcept { return kTables; }

std::string_view table_name(const KernelTable& table) noexcept { return table.name; }

bool table_supported(const KernelTable& table) noexcept { return table.supported(); }

bool table_has_layout(const KernelTable& table, TernaryLayout layout) noexcept {
  return table.ternary_gemv[static_cast<std::size_t>(layout)] != nullptr;
}

const KernelTable& choose_table(std::string_view forced) {
  std::string usable;
  for (const KernelTable* table : kTables) {
    if (!table->supported()) continue;
    if (forced.empty() || forced == table->name) return *table;
    usable += std::string(usable.empty() ? "" : ", ") + table->name;
  }
  throw Error(ErrorCode::kUnsupported, "TERN_ISA=" + std::string(forced) +
                                           " is not usable on this CPU, which can run: " + usable);
}

const KernelTable& table_from_environment() {
  return choose_table(environment("TERN_ISA").value_or(""));
}

}  // namespace tern::kernels
