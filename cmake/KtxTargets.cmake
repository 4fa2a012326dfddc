# ktx_library(NAME [SOURCES dir] [LINK libs...]): one static library per source folder.
#
# A source named x86_<isa>*.cpp is compiled for that ISA alone: its flags go on that one translation
# unit, so no other code can be given instructions the machine lacks. Without exceptions there is no
# weak reference to their personality routine either. GCC 12 warns of uninitialized operands inside
# its own AVX-512 header (GCC bug 105593).

set(KTX_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -fno-exceptions -Wno-maybe-uninitialized -Wno-uninitialized)
set(KTX_ISA_FLAGS_avx512 ${KTX_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq)
set(KTX_ISA_FLAGS_avx512_vnni ${KTX_ISA_FLAGS_avx512} -mavx512vnni)
set(KTX_ISA_FLAGS_avx512_vbmi ${KTX_ISA_FLAGS_avx512_vnni} -mavx512vbmi)
set(KTX_ISA_FLAGS_avx512_bf16 ${KTX_ISA_FLAGS_avx512_vbmi} -mavx512bf16)
set(KTX_ISA_FLAGS_amx ${KTX_ISA_FLAGS_avx512_bf16} -mamx-tile -mamx-int8 -mamx-bf16)

add_library(ktx_options INTERFACE)
target_compile_features(ktx_options INTERFACE cxx_std_20)
target_compile_options(ktx_options INTERFACE
  $<BUILD_INTERFACE:-Wall -Wextra -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers>
  # GCC warns of moved std::variant members that are never read, and of std::string's own memcpy
  # (GCC bug 105651).
  $<BUILD_INTERFACE:$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-restrict>>
  $<BUILD_INTERFACE:$<$<BOOL:${KTX_WARNINGS_AS_ERRORS}>:-Werror>>)
if(KTX_SANITIZE)
  target_compile_options(ktx_options INTERFACE -fsanitize=${KTX_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(ktx_options INTERFACE -fsanitize=${KTX_SANITIZE})
endif()

function(ktx_set_isa_flags)
  foreach(source IN LISTS ARGN)
    if(source MATCHES "/x86_(avx512_vnni|avx512_vbmi|avx512_bf16|avx512|avx2|amx)[a-z0-9_]*\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${KTX_ISA_FLAGS_${CMAKE_MATCH_1}}")
    endif()
  endforeach()
endfunction()

function(ktx_library name)
  cmake_parse_arguments(ARG "" "" "LINK;PRIVATE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  add_library(${name} STATIC ${sources})
  ktx_set_isa_flags(${sources})
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${name} PUBLIC ktx_options ${ARG_LINK} PRIVATE ${ARG_PRIVATE})
endfunction()
