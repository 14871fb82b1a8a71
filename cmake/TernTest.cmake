# tern_test(<room> SOURCES ... [DEPENDS ...] [LINKS ...]): the GoogleTest program of one room.
# A cross build has no GoogleTest library, so it builds Debian's googletest source package.
if(CMAKE_CROSSCOMPILING)
  add_subdirectory(/usr/src/googletest ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
  target_compile_options(gtest PRIVATE -w)  # Not our code: g++ 12 warns in it (GCC bug 105651).
  if(NOT TARGET GTest::gtest_main)
    add_library(GTest::gtest_main ALIAS gtest_main)
  endif()
else()
  find_package(GTest REQUIRED)
endif()
include(GoogleTest)

function(tern_test name)
  cmake_parse_arguments(PARSE_ARGV 1 T "" "" "SOURCES;DEPENDS;LINKS")
  list(TRANSFORM T_DEPENDS PREPEND tern_)
  add_executable(${name}_test ${T_SOURCES})
  target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name}_test PRIVATE ${T_DEPENDS} ${T_LINKS} GTest::gtest_main)
  tern_warnings(${name}_test)
  gtest_discover_tests(${name}_test TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 120 PROPERTIES LABELS unit TIMEOUT 600)
endfunction()
