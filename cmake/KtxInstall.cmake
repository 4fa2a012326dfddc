# install() and the exported package: find_package(ktx) gives ktx::ktx.
include(CMakePackageConfigHelpers)

set(KTX_LIBRARIES ktx ktx_options ktx_base ktx_quant ktx_hw ktx_graph ktx_device ktx_model ktx_text
  ktx_ops ktx_loader ktx_placement ktx_engine)
install(TARGETS ${KTX_LIBRARIES} EXPORT ktxTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY src/include/ktx DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT ktxTargets NAMESPACE ktx:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/ktx)
configure_package_config_file(cmake/ktxConfig.cmake.in ${PROJECT_BINARY_DIR}/ktxConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/ktx)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ktxConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ktxConfig.cmake ${PROJECT_BINARY_DIR}/ktxConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/ktx)

if(KTX_BUILD_TOOLS)
  install(TARGETS ${KTX_TOOLS} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY optimize_rules DESTINATION ${CMAKE_INSTALL_DATADIR}/ktx)
