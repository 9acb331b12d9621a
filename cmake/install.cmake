# What `cmake --install` puts where, and the Debian package that `cpack` makes of it: docs/install.md.

include(GNUInstallDirs)

# Out of the help texts, so it needs the program to run.
if(NOT BOURN_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
  add_custom_command(OUTPUT bourn.1
    COMMAND sh ${CMAKE_SOURCE_DIR}/packaging/man.sh $<TARGET_FILE:bourn> >bourn.1
    DEPENDS bourn ${CMAKE_SOURCE_DIR}/packaging/man.sh)
  add_custom_target(man ALL DEPENDS bourn.1)
  install(FILES ${CMAKE_BINARY_DIR}/bourn.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

install(TARGETS bourn)
install(FILES include/bourn/hook.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bourn)
install(FILES packaging/bourn.bash RENAME bourn
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES packaging/bourn.service DESTINATION lib/systemd/system)
install(DIRECTORY hooks DESTINATION ${CMAKE_INSTALL_DATADIR}/bourn)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "event broker you can drive with curl")
set(CPACK_PACKAGE_CONTACT "who built it <root@localhost>")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS libcurl4) # hooks over HTTP load it
set(CPACK_DEBIAN_PACKAGE_SUGGESTS ${ROCKSDB_PACKAGE}) # the engine does
include(CPack)
