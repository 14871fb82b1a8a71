# Writes OUTPUT, a C++ file with the bytes of the files in FOLDER. Run by cmake -P.
set(table "")
set(arrays "")
set(number 0)
file(GLOB FILES ${FOLDER}/*)
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND arrays "constexpr unsigned char kFile${number}[] = {${bytes}};\n")
  string(APPEND table "    {\"/${name}\", view(kFile${number})},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUTPUT} "// Made from web/ by embed_page.cmake.
#include <array>

#include \"tern/server/page_files.h\"

namespace tern::server {
namespace {

template <std::size_t N>
std::string_view view(const unsigned char (&bytes)[N]) {
  return {reinterpret_cast<const char*>(bytes), N};
}

${arrays}
const auto kFiles = std::to_array<PageFile>({
${table}});

}  // namespace

std::span<const PageFile> page_files() noexcept { return kFiles; }

}  // namespace tern::server
")
