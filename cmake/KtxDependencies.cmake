# Every third-party package, found once. Optional ones set KTX_HAVE_<X>.
find_package(Threads REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(spdlog REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWLOC REQUIRED IMPORTED_TARGET hwloc)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
if(KTX_BUILD_TOOLS)
  find_package(CLI11 REQUIRED)
endif()

# libedit (libedit-dev) edits the lines of chats; without it they are read as the terminal gives them.
option(KTX_LIBEDIT "Use libedit where it is installed" ON)
set(KTX_HAVE_LIBEDIT FALSE)
if(KTX_LIBEDIT AND KTX_BUILD_TOOLS)
  pkg_check_modules(LIBEDIT IMPORTED_TARGET libedit)
  if(LIBEDIT_FOUND)
    set(KTX_HAVE_LIBEDIT TRUE)
  endif()
endif()
message(STATUS "ktx: libedit ${LIBEDIT_VERSION} (found: ${KTX_HAVE_LIBEDIT})")

# oneDNN (libdnnl-dev, 2.x or 3.x) serves kernel linear.onednn. Its own package file demands OpenCL's
# headers, which nothing here needs; OpenMP's library is linked to keep oneDNN on one thread.
option(KTX_ONEDNN "Use oneDNN where it is installed" ON)
set(KTX_HAVE_ONEDNN FALSE)
if(KTX_ONEDNN)
  find_path(ONEDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp)
  find_library(ONEDNN_LIBRARY dnnl)
  find_package(OpenMP COMPONENTS CXX)
  if(ONEDNN_INCLUDE_DIR AND ONEDNN_LIBRARY AND OpenMP_CXX_FOUND)
    set(KTX_HAVE_ONEDNN TRUE)
  endif()
endif()
message(STATUS "ktx: oneDNN ${ONEDNN_LIBRARY} (found: ${KTX_HAVE_ONEDNN})")

# yaml-cpp names its target differently before 0.8.
if(TARGET yaml-cpp::yaml-cpp)
  set(KTX_YAML_CPP yaml-cpp::yaml-cpp)
else()
  set(KTX_YAML_CPP yaml-cpp)
endif()

include(KtxCuda)
