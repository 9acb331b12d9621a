# Compiler flags for every target: strict, hardened, the same under gcc and clang.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")

add_compile_options(
  -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
  -fno-common -fno-strict-aliasing -fstack-protector-strong -fcf-protection)
add_compile_definitions(_GNU_SOURCE)

if(CMAKE_C_COMPILER_ID STREQUAL "GNU" OR NOT BOURN_FUZZ)
  add_compile_options(-fstack-clash-protection)
endif()
if(BOURN_SANITIZE)
  add_compile_definitions(BOURN_SANITIZED)
  add_compile_options(-fsanitize=${BOURN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${BOURN_SANITIZE})
  add_compile_options(-O1) # at -O0 tests take up to five times as long
  add_compile_options(-g1) # lines for stack traces; all of -g takes a fifth longer to compile
  find_program(MOLD mold)
  if(MOLD)
    add_link_options(-fuse-ld=mold) # a hundred programs, each in a fifth of ld's time
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
add_link_options(-pie -Wl,-z,relro,-z,now -Wl,--as-needed)
