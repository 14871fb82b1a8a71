# tern_module(<room> [NOT_IN_LIBRARY] SOURCES ... [DEPENDS ...] [LINKS ...]): one library per folder
# of tern/, or per part of one (<room>_<part>). DEPENDS names rooms, and is the layering that
# scripts/check_layers.py holds the #includes to; LINKS names outside libraries. NOT_IN_LIBRARY is
# for rooms that need what a user of libtern.a does not have (libtorch, protobuf, SentencePiece).
function(tern_module name)
  cmake_parse_arguments(PARSE_ARGV 1 M "NOT_IN_LIBRARY" "" "SOURCES;DEPENDS;LINKS")
  list(TRANSFORM M_DEPENDS PREPEND tern_)
  add_library(tern_${name} STATIC ${M_SOURCES})
  target_include_directories(tern_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
  target_link_libraries(tern_${name} PUBLIC ${M_DEPENDS} PRIVATE ${M_LINKS})
  tern_warnings(tern_${name})
  if(NOT M_NOT_IN_LIBRARY)
    set_property(GLOBAL APPEND PROPERTY TERN_ROOMS ${name})  # libtern.a is all of these.
  endif()
endfunction()

# -ffp-contract=off everywhere: a fused multiply-add stands only where it is written, so that every
# build gives the same bits. -Wno-restrict: g++ 12 warns of std::string's own operator+ (GCC bug 105651).
function(tern_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
    -ffp-contract=off $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<BOOL:${TERN_WERROR}>:-Werror>)
endfunction()
