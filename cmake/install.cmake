# What `cmake --install` writes: bin/duel, lib/libduel.a, include/duel/, and the package for find_package(duel).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# In the source tree a header is "engine/net.h" from the root. An installed one must not be looked for in a user's own
# folders of such names, so it names the others from where it lies itself: "../engine/net.h".
set(DUEL_HEADERS ${CMAKE_CURRENT_BINARY_DIR}/headers)
install(CODE "set(from \"${CMAKE_CURRENT_SOURCE_DIR}\")\nset(to \"${DUEL_HEADERS}\")")
install(CODE [[
  file(REMOVE_RECURSE "${to}")
  file(GLOB headers RELATIVE "${from}" "${from}/kernels/*.h" "${from}/engine/*.h"
    "${from}/engine/data/*.h" "${from}/engine/pictures/*.h" "${from}/losses/*.h" "${from}/models/*.h")
  foreach(header ${headers})
    get_filename_component(folder "${header}" DIRECTORY)
    string(REGEX REPLACE "[^/]+" ".." up "${folder}")
    file(READ "${from}/${header}" text)
    string(REGEX REPLACE "#include \"(kernels|engine|losses|models)/" "#include \"${up}/\\1/" text "${text}")
    file(WRITE "${to}/${header}" "${text}")
  endforeach()
]])
install(DIRECTORY ${DUEL_HEADERS}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/duel)
install(FILES duel/duel.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/duel)

install(TARGETS duel EXPORT duelTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET duel_command)
  install(TARGETS duel_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
foreach(name ${duel_packages})
  string(APPEND DUEL_DEPENDENCIES "find_dependency(${name})\n")
endforeach()
string(APPEND DUEL_DEPENDENCIES "find_dependency(PkgConfig)\n")
foreach(name ${duel_modules})
  string(APPEND DUEL_DEPENDENCIES "pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${name})\n")
endforeach()
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/duel)
install(EXPORT duelTargets NAMESPACE duel:: DESTINATION ${package})
configure_package_config_file(cmake/duelConfig.cmake.in duelConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(duelConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/duelConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/duelConfigVersion.cmake
  DESTINATION ${package})
