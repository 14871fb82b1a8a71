# Read by cpack once per kind of package: a tar.gz unpacks into one folder, a .deb into /usr.
if(CPACK_GENERATOR STREQUAL TGZ)
  set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)
endif()
