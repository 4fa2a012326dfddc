# Code for NVIDIA GPUs: sets KTX_HAVE_CUDA. The runtime is linked statically, so that the programs start where
# there is neither a driver nor a GPU, and run on the CPU there.
set(KTX_HAVE_CUDA FALSE)
if(KTX_CUDA STREQUAL "ON")
  find_package(CUDAToolkit 12.4 REQUIRED)
elseif(KTX_CUDA STREQUAL "AUTO" AND NOT KTX_SANITIZE)  # the host's sanitizers see nothing of a GPU
  find_package(CUDAToolkit 12.4 QUIET)
endif()

# The compute capabilities of this box's GPUs as CMake writes them: "89;90".
function(ktx_gpus_here out)
  set(${out} "" PARENT_SCOPE)
  find_program(KTX_NVIDIA_SMI nvidia-smi)
  mark_as_advanced(KTX_NVIDIA_SMI)
  if(NOT KTX_NVIDIA_SMI)
    return()
  endif()
  execute_process(COMMAND ${KTX_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
    OUTPUT_VARIABLE capabilities ERROR_QUIET RESULT_VARIABLE failed)
  string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${capabilities}")
  if(failed OR NOT capabilities)
    return()
  endif()
  list(TRANSFORM capabilities REPLACE "\\." "")
  list(REMOVE_DUPLICATES capabilities)
  set(${out} "${capabilities}" PARENT_SCOPE)
endfunction()

if(CUDAToolkit_FOUND)
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
  endif()
  set(CMAKE_CUDA_ARCHITECTURES ${KTX_CUDA_ARCHITECTURES})
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    ktx_gpus_here(CMAKE_CUDA_ARCHITECTURES)
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90-real 100-real 120)
  endif()
  # Hopper's own instructions (wgmma) are no part of plain 90; its code runs on Hopper alone either way.
  list(TRANSFORM CMAKE_CUDA_ARCHITECTURES REPLACE "^90(|-real|-virtual)$" "90a\\1")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(KTX_HAVE_CUDA TRUE)
  elseif(KTX_CUDA STREQUAL "ON")
    message(FATAL_ERROR "ktx: the CUDA toolkit's compiler does not work")
  endif()
endif()
message(STATUS "ktx: CUDA toolkit ${CUDAToolkit_VERSION} (used: ${KTX_HAVE_CUDA}) ${CMAKE_CUDA_ARCHITECTURES}")

# For a library with *.cu or cuda*.cpp. C++20 by its flag: CMake before 3.26 knows none for nvcc.
function(ktx_use_cuda name)
  target_compile_definitions(${name} PRIVATE KTX_HAVE_CUDA)
  target_include_directories(${name} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr>
    $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${KTX_WARNINGS_AS_ERRORS}>>:--Werror=all-warnings>)
endfunction()
