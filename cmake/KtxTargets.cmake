# ktx_library(NAME [LINK libs...] [PRIVATE libs...]): one static library per source folder. Its sources for
# CUDA, *.cu and cuda*.cpp, belong to it where there is a CUDA toolkit (KtxCuda.cmake).
#
# A source named x86_<level>*.cpp is compiled for that ISA level alone: its flags go on that one
# translation unit, so no other code can be given instructions the machine lacks. Without exceptions
# there is no weak reference to their personality routine either. GCC 12 warns of uninitialized
# operands inside its own AVX-512 header (GCC bug 105593).

# KTX_ISA_LEVELS, highest first, and KTX_ISA_FLAGS_<level>, from the table of levels.
set(isa_table ${PROJECT_SOURCE_DIR}/src/core/hw/isa_levels.hpp)
set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${isa_table})
file(STRINGS ${isa_table} rows REGEX "^ *{Isa::")
set(KTX_ISA_LEVELS)
set(flags -fno-exceptions -Wno-maybe-uninitialized -Wno-uninitialized)
foreach(row IN LISTS rows)
  string(REGEX MATCH "\"([a-z0-9_]+)\", \"([-a-z0-9 ]*)\"" match "${row}")
  set(level ${CMAKE_MATCH_1})
  string(REPLACE " " ";" features "${CMAKE_MATCH_2}")
  list(TRANSFORM features PREPEND -m)
  list(APPEND flags ${features})
  list(PREPEND KTX_ISA_LEVELS ${level})
  set(KTX_ISA_FLAGS_${level} ${flags})
endforeach()

add_library(ktx_options INTERFACE)
target_compile_features(ktx_options INTERFACE cxx_std_20)
target_compile_options(ktx_options INTERFACE
  $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wnon-virtual-dtor;-Wno-missing-field-initializers>>
  # GCC warns of moved std::variant members that are never read, and of std::string's own memcpy
  # (GCC bug 105651).
  $<BUILD_INTERFACE:$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized;-Wno-restrict>>
  $<BUILD_INTERFACE:$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${KTX_WARNINGS_AS_ERRORS}>>:-Werror>>)
if(KTX_SANITIZE)
  target_compile_options(ktx_options INTERFACE -fsanitize=${KTX_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(ktx_options INTERFACE -fsanitize=${KTX_SANITIZE})
endif()

function(ktx_set_isa_flags)
  list(FILTER ARGN INCLUDE REGEX "/x86_[a-z0-9_]+\\.cpp$")
  foreach(source IN LISTS ARGN)
    foreach(level IN LISTS KTX_ISA_LEVELS)
      if(source MATCHES "/x86_${level}(_[a-z0-9_]+)?\\.cpp$")
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${KTX_ISA_FLAGS_${level}}")
        break()
      endif()
    endforeach()
    get_source_file_property(flags ${source} COMPILE_OPTIONS)
    if(NOT flags)
      message(FATAL_ERROR "${source} names no level of src/core/hw/isa_levels.hpp")
    endif()
  endforeach()
endfunction()

function(ktx_library name)
  cmake_parse_arguments(ARG "" "" "LINK;PRIVATE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cu
    ${CMAKE_CURRENT_SOURCE_DIR}/cuda*.cpp)
  if(KTX_HAVE_CUDA)
    list(APPEND sources ${cuda_sources})
    list(REMOVE_DUPLICATES sources)
  elseif(cuda_sources)
    list(REMOVE_ITEM sources ${cuda_sources})
  endif()
  add_library(${name} STATIC ${sources})
  ktx_set_isa_flags(${sources})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${name} PUBLIC ktx_options ${ARG_LINK} PRIVATE ${ARG_PRIVATE})
  if(KTX_HAVE_CUDA AND cuda_sources)
    ktx_use_cuda(${name})
  endif()
endfunction()
