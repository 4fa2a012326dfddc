# Every third-party package, found once. Optional ones set KTX_HAVE_<X>.
find_package(Threads REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(spdlog REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWLOC REQUIRED IMPORTED_TARGET hwloc)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
if(KTX_BUILD_TOOLS)
  find_package(CLI11 REQUIRED)
endif()

# yaml-cpp names its target differently before 0.8.
if(TARGET yaml-cpp::yaml-cpp)
  set(KTX_YAML_CPP yaml-cpp::yaml-cpp)
else()
  set(KTX_YAML_CPP yaml-cpp)
endif()

find_package(CUDAToolkit QUIET)
set(KTX_HAVE_CUDA ${CUDAToolkit_FOUND})
message(STATUS "ktx: CUDA toolkit ${CUDAToolkit_VERSION} (found: ${CUDAToolkit_FOUND})")
