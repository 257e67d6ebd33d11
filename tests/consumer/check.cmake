# Installs Duel, builds the program against what was installed, and lets it train for three steps.
#   cmake -DBUILD=<Duel's build folder> -DWORK=<a folder of this test's own> -P check.cmake
function(run)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY ${WORK} RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}: ${result}\n${text}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/installed)
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${WORK}/build -G Ninja -DCMAKE_PREFIX_PATH=${WORK}/installed
  -DCMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${WORK}/build/my_gan glyphs 3)
file(SIZE ${WORK}/samples.png size)
file(READ ${WORK}/samples.png start LIMIT 8 HEX)
if(size LESS 1000 OR NOT start STREQUAL "89504e470d0a1a0a")
  message(FATAL_ERROR "samples.png: ${size} bytes that begin with ${start}, expected a PNG of 64 images")
endif()
