# tern_version_header(<target>): gives the target tern_build.h, which names the commit being built.
function(tern_version_header target)
  set(compiler "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    set(compiler "g++ ${CMAKE_CXX_COMPILER_VERSION}")
  elseif(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    set(compiler "clang++ ${CMAKE_CXX_COMPILER_VERSION}")
  endif()
  set(folder ${PROJECT_BINARY_DIR}/generated)
  add_custom_target(tern_build_header
    COMMAND ${CMAKE_COMMAND} -D SOURCE_DIR=${PROJECT_SOURCE_DIR} -D OUTPUT=${folder}/tern_build.h
      -D VERSION=${PROJECT_VERSION} -D "COMPILER=${compiler}"
      -P ${PROJECT_SOURCE_DIR}/cmake/WriteBuildHeader.cmake
    BYPRODUCTS ${folder}/tern_build.h
    COMMENT "Asking git for the commit" VERBATIM)
  add_dependencies(${target} tern_build_header)
  target_include_directories(${target} PRIVATE ${folder})
endfunction()
