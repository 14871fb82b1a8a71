// The files of web/, which the build puts into the program.
#pragma once

#include <span>
#include <string_view>

namespace tern::server {

struct PageFile {
  std::string_view path;  // "/index.html"
  std::string_view bytes;
};

std::span<const PageFile> page_files() noexcept;

}  // namespace tern::server
