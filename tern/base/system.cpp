// Linux on x86-64 and aarch64.
#include "tern/base/system.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <random>
#include <system_error>
#include <vector>

#include "tern/base/error.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace tern {
namespace {

#if defined(__x86_64__)
struct Cpuid {
  unsigned eax, ebx, ecx, edx;
};

// g++ 12 and clang 19 do not know the same feature names: the bits of leaf 7 themselves.
Cpuid cpuid_leaf7(unsigned subleaf) noexcept {
  Cpuid r{7, 0, subleaf, 0};
  asm volatile("cpuid" : "+a"(r.eax), "=b"(r.ebx), "+c"(r.ecx), "=d"(r.edx));
  return r;
}

// Whether the system saves the tile registers of AMX (XCR0). Requires OSXSAVE, which AVX implies.
bool tiles_saved() noexcept {
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((low >> 17) & 3) == 3;
}
#endif

CpuFeatures detect() noexcept {
  CpuFeatures f;
#if defined(__x86_64__)
  // __builtin_cpu_supports also asks whether the system saves the registers (XGETBV).
  __builtin_cpu_init();
  f.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
  const bool avx512 = f.avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  f.avx512vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  f.avx512vbmi = f.avx512vnni && __builtin_cpu_supports("avx512vbmi");
  if (f.avx2) {
    const unsigned subleaf1 = cpuid_leaf7(1).eax;
    f.avxvnni = (subleaf1 & (1u << 4)) != 0;
    f.avx512bf16 = avx512 && (subleaf1 & (1u << 5)) != 0;
    const unsigned edx = cpuid_leaf7(0).edx;
    f.amx_bf16 = (edx & (1u << 22)) != 0 && (edx & (1u << 24)) != 0 && tiles_saved();
  }
#elif defined(__aarch64__)
  f.neon_dotprod = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#ifdef HWCAP2_I8MM
  f.neon_i8mm = (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#endif
#endif
  return f;
}

volatile std::sig_atomic_t g_pressed = 0;
struct sigaction g_previous_interrupt;
struct sigaction g_previous_terminate;

extern "C" void on_signal(int) {
  g_pressed = 1;
  std::signal(SIGINT, SIG_DFL);  // The next Ctrl-C ends the program.
}

}  // namespace

const CpuFeatures& cpu_features() noexcept {
  static const CpuFeatures features = detect();
  return features;
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("model name")) continue;
    const auto colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::uint64_t physical_memory() noexcept {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long size = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0
             ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size)
             : 0;
}

std::uint64_t peak_resident_bytes() noexcept {
  struct rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

void reset_peak_resident() noexcept {
  const int file = ::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  [[maybe_unused]] const auto written = ::write(file, "5", 1);
  ::close(file);
}

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "unknown";
  return name.data();
}

std::uint64_t process_id() noexcept { return static_cast<std::uint64_t>(::getpid()); }

void keep_freed_memory() noexcept {
#if defined(__GLIBC__)
  ::mallopt(M_MMAP_MAX, 0);
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  ::mallopt(M_TOP_PAD, 64 << 20);
#endif
}

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

bool stdin_is_terminal() noexcept { return ::isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() noexcept { return ::isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() noexcept { return ::isatty(STDERR_FILENO) == 1; }

int terminal_width() noexcept {
  struct winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

double monotonic_seconds() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

void ignore_closed_pipes() noexcept { std::signal(SIGPIPE, SIG_IGN); }

std::string executable_folder() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path));
  if (n <= 0) return "";
  const std::string whole(path, static_cast<std::size_t>(n));
  return whole.substr(0, whole.find_last_of('/'));
}

void become_program(const std::filesystem::path& path, std::span<const std::string> args) {
  std::string name = path.string();
  std::vector<std::string> words(args.begin(), args.end());
  std::vector<char*> argv{name.data()};
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::fflush(nullptr);  // What stands in buffers would be lost.
  ::execv(name.c_str(), argv.data());
  const std::string reason = std::generic_category().message(errno);
  throw Error(ErrorCode::kIo, name + ": cannot start it: " + reason);
}

InterruptGuard::InterruptGuard(bool also_terminate) : also_terminate_(also_terminate) {
  g_pressed = 0;
  struct sigaction action{};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, &g_previous_interrupt);
  if (also_terminate_) ::sigaction(SIGTERM, &action, &g_previous_terminate);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &g_previous_interrupt, nullptr);
  if (also_terminate_) ::sigaction(SIGTERM, &g_previous_terminate, nullptr);
}

bool InterruptGuard::pressed() noexcept { return g_pressed != 0; }

}  // namespace tern
