# What `cmake --install` and cpack put where: the program, the library with its headers and CMake
# package, and shell completion. Component "runtime" is the program; "development" is the library.
include(CMakePackageConfigHelpers)
find_package(Threads REQUIRED)

set(TERN_INCLUDE_FOLDER ${CMAKE_INSTALL_INCLUDEDIR})
set(TERN_PACKAGE_FOLDER ${CMAKE_INSTALL_LIBDIR}/cmake/tern)

# libtern.a: the objects of every room but cli and the trainer's, so that one file is enough to link.
get_property(rooms GLOBAL PROPERTY TERN_ROOMS)
list(TRANSFORM rooms REPLACE "(.+)" "$<TARGET_OBJECTS:tern_\\1>" OUTPUT_VARIABLE objects)
add_library(tern_library STATIC ${objects})
set_target_properties(tern_library PROPERTIES OUTPUT_NAME tern EXPORT_NAME tern LINKER_LANGUAGE CXX
  ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
target_include_directories(tern_library INTERFACE $<INSTALL_INTERFACE:${TERN_INCLUDE_FOLDER}>)
target_compile_features(tern_library INTERFACE cxx_std_20)
target_link_libraries(tern_library INTERFACE Threads::Threads)

# libtern.so: the C interface of tern.h and nothing else.
add_library(tern_shared SHARED $<TARGET_OBJECTS:tern_capi>)
set_target_properties(tern_shared PROPERTIES OUTPUT_NAME tern EXPORT_NAME c LINKER_LANGUAGE CXX
  VERSION ${PROJECT_VERSION} SOVERSION 0 LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
  LINK_DEPENDS ${PROJECT_SOURCE_DIR}/tern/capi/exports.map)
target_link_libraries(tern_shared PRIVATE tern_capi)
target_link_options(tern_shared PRIVATE
  -Wl,--version-script=${PROJECT_SOURCE_DIR}/tern/capi/exports.map)
target_include_directories(tern_shared INTERFACE $<INSTALL_INTERFACE:${TERN_INCLUDE_FOLDER}>)

install(TARGETS tern_library tern_shared EXPORT ternTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(EXPORT ternTargets NAMESPACE tern:: DESTINATION ${TERN_PACKAGE_FOLDER}
  COMPONENT development)
configure_package_config_file(cmake/ternConfig.cmake.in ${PROJECT_BINARY_DIR}/ternConfig.cmake
  INSTALL_DESTINATION ${TERN_PACKAGE_FOLDER})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ternConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ternConfig.cmake ${PROJECT_BINARY_DIR}/ternConfigVersion.cmake
  DESTINATION ${TERN_PACKAGE_FOLDER} COMPONENT development)
file(RELATIVE_PATH TERN_PREFIX_FROM_PKGCONFIG /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/tern.pc.in ${PROJECT_BINARY_DIR}/tern.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/tern.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
  COMPONENT development)
install(FILES tern/capi/tern.h DESTINATION ${TERN_INCLUDE_FOLDER} COMPONENT development)
install(DIRECTORY tern DESTINATION ${TERN_INCLUDE_FOLDER} COMPONENT development
  FILES_MATCHING PATTERN "*.h" PATTERN cli EXCLUDE PATTERN capi EXCLUDE PATTERN hub EXCLUDE
  PATTERN corpus EXCLUDE PATTERN train EXCLUDE PATTERN cli_train EXCLUDE)

# The program, with what shells need to complete its commands.
set_target_properties(tern PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
# Models that ship: found in share/tern/models beside bin, here a link to the source tree's.
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/share/tern)
file(CREATE_LINK ${PROJECT_SOURCE_DIR}/models ${PROJECT_BINARY_DIR}/share/tern/models SYMBOLIC)
file(GLOB TERN_SHIPPED_MODELS CONFIGURE_DEPENDS models/en.gguf models/ja.gguf)
install(FILES ${TERN_SHIPPED_MODELS} DESTINATION ${CMAKE_INSTALL_DATADIR}/tern/models
  COMPONENT runtime)
install(TARGETS tern RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
set(completions)
foreach(pair IN ITEMS bash:tern zsh:_tern fish:tern.fish)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 shell)
  list(GET pair 1 name)
  set(file ${PROJECT_BINARY_DIR}/completion/${name})
  add_custom_command(OUTPUT ${file} COMMAND tern completion ${shell} > ${file}
    DEPENDS tern COMMENT "Completion for ${shell}" VERBATIM)
  list(APPEND completions ${file})
endforeach()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/completion)
add_custom_target(tern_completion ALL DEPENDS ${completions})
install(FILES ${PROJECT_BINARY_DIR}/completion/tern COMPONENT runtime
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${PROJECT_BINARY_DIR}/completion/_tern COMPONENT runtime
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${PROJECT_BINARY_DIR}/completion/tern.fish COMPONENT runtime
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES README.md README.ja.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT runtime)
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)

# `cpack -G "DEB;TGZ"`: the program alone, for machines that only run models.
set(CPACK_PACKAGE_NAME tern)
set(CPACK_PACKAGE_VENDOR "The tern developers")
set(CPACK_PACKAGE_CONTACT "The tern developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Runs, converts and checks ternary language models")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_FILE_NAME tern-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL runtime)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/cmake/CPackProjectConfig.cmake)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
include(CPack)
