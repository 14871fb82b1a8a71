// What tern asks of the machine and the terminal; with the other files of base/, the only platform
// calls of the program.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tern {

// What this CPU and operating system let a program use. False for every feature of another family.
struct CpuFeatures {
  bool avx2 = false;        // With FMA and F16C, and the system saving the registers.
  bool avxvnni = false;     // 256-bit vpdpbusd in VEX form; includes avx2.
  bool avx512vnni = false;  // AVX-512 F, BW, DQ, VL and VNNI; includes avx2.
  bool avx512vbmi = false;  // avx512vnni and VBMI.
  bool avx512bf16 = false;  // AVX-512 F, BW, DQ, VL and BF16: bfloat16 is multiplied, not emulated.
  bool amx_bf16 = false;    // Tiles of bfloat16, and the system saving them.
  bool neon_dotprod = false;
  bool neon_i8mm = false;
};
const CpuFeatures& cpu_features() noexcept;

std::string cpu_model();                   // "AMD EPYC ...", or "unknown".
std::uint64_t physical_memory() noexcept;  // Bytes; 0 where it cannot be told.
std::uint64_t peak_resident_bytes() noexcept;
// From now on the peak is that of what is resident now and later; does nothing where the system
// cannot.
void reset_peak_resident() noexcept;
std::string host_name();  // "unknown" where it cannot be told.
std::uint64_t process_id() noexcept;

// From now on freed memory stays with the program instead of going back to the system, for programs
// that allocate the same large tensors in every step: on virtual machines page faults can cost them
// more than arithmetic. Does nothing elsewhere than on glibc. Call it before threads are started.
void keep_freed_memory() noexcept;

std::optional<std::string> environment(const char* name);
bool stdin_is_terminal() noexcept;
bool stdout_is_terminal() noexcept;
bool stderr_is_terminal() noexcept;
int terminal_width() noexcept;  // Of stderr; 80 where it cannot be told.

double monotonic_seconds() noexcept;
std::uint64_t random_seed();  // From the system; for users who gave no seed.

// From now on writing to a closed pipe is an error of that write, not the silent end of the
// program.
void ignore_closed_pipes() noexcept;

// The folder that holds the running executable; empty where it cannot be told.
std::string executable_folder();

// Becomes the program at `path`, with the words `args` after its name: this process is no more.
// Throws Error(kIo) where it cannot be started.
[[noreturn]] void become_program(const std::filesystem::path& path,
                                 std::span<const std::string> args);

// While one of these lives, the first SIGINT (Ctrl-C), and with `also_terminate` the first SIGTERM,
// only sets pressed(). A SIGINT after that ends the program as usual; further SIGTERMs do not, so
// that a supervisor which asks twice does not cut short what the first one began. One at a time.
class InterruptGuard {
 public:
  explicit InterruptGuard(bool also_terminate = false);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static bool pressed() noexcept;

 private:
  bool also_terminate_;
};

}  // namespace tern
