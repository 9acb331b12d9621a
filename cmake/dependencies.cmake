# Every dependency is a Debian package; one that is missing is named, with the remedy.

function(bourn_need what package)
  if(NOT ${what})
    message(FATAL_ERROR "bourn needs the Debian package '${package}': "
      "run './dev deps', or 'apt-get install ${package}'.")
  endif()
endfunction()

find_package(PkgConfig QUIET)
bourn_need(PKG_CONFIG_FOUND pkg-config)
find_package(Threads REQUIRED)

pkg_check_modules(UV QUIET IMPORTED_TARGET libuv)
bourn_need(UV_FOUND libuv1-dev)
add_library(uv ALIAS PkgConfig::UV)

pkg_check_modules(YAML QUIET IMPORTED_TARGET yaml-0.1)
bourn_need(YAML_FOUND libyaml-dev)
add_library(yaml ALIAS PkgConfig::YAML)

pkg_check_modules(LUA QUIET IMPORTED_TARGET lua5.4)
bourn_need(LUA_FOUND liblua5.4-dev)
add_library(lua ALIAS PkgConfig::LUA)

# Its headers only: hooks over HTTP load the library when there are any.
find_path(CURL_INCLUDE curl/curl.h)
bourn_need(CURL_INCLUDE libcurl4-openssl-dev)

find_package(OpenSSL QUIET)
bourn_need(OPENSSL_FOUND libssl-dev)

find_path(UTHASH_INCLUDE uthash.h)
bourn_need(UTHASH_INCLUDE uthash-dev)

# Debian ships llhttp as C sources only; its code is built here, with its own warnings off.
find_path(LLHTTP_SOURCE llhttp.c PATHS /usr/share/llhttp)
find_path(LLHTTP_INCLUDE llhttp.h PATHS /usr/share/include/llhttp)
bourn_need(LLHTTP_SOURCE node-llhttp)
bourn_need(LLHTTP_INCLUDE node-llhttp)
add_library(llhttp STATIC ${LLHTTP_SOURCE}/api.c ${LLHTTP_SOURCE}/http.c ${LLHTTP_SOURCE}/llhttp.c)
target_include_directories(llhttp SYSTEM PUBLIC ${LLHTTP_INCLUDE})
target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
target_compile_options(llhttp PRIVATE -w)

# Optional, and loaded only when a store of the engine is opened: its header says which functions
# there are, the soname which library to look for then.
find_path(ROCKSDB_INCLUDE rocksdb/c.h)
find_library(ROCKSDB_LIBRARY rocksdb)
if(BOURN_ROCKSDB AND ROCKSDB_INCLUDE AND ROCKSDB_LIBRARY AND CMAKE_OBJDUMP)
  execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${ROCKSDB_LIBRARY} OUTPUT_VARIABLE ROCKSDB_HEADERS)
  if(ROCKSDB_HEADERS MATCHES "SONAME +(librocksdb\\.so\\.([0-9.]+))")
    set(ROCKSDB_SONAME ${CMAKE_MATCH_1})
    set(ROCKSDB_PACKAGE librocksdb${CMAKE_MATCH_2})
  endif()
endif()
if(ROCKSDB_SONAME)
  message(STATUS "Engine rocksdb: built, loads ${ROCKSDB_SONAME}")
else()
  message(STATUS "Engine rocksdb: not built; it needs the Debian package 'librocksdb-dev'")
endif()

if(BOURN_TESTS)
  pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
  bourn_need(CMOCKA_FOUND libcmocka-dev)
  find_library(WSLAY_LIBRARY wslay)
  bourn_need(WSLAY_LIBRARY libwslay-dev)
endif()
