# The ROS wheels on PyPI export include directories of the container that built them, and CMake
# refuses imported targets whose include directories don't exist. Dropping those is enough: the
# Python and NumPy headers are found anew. With ROS from apt there is nothing to drop.
function(drop_absent_include_directories)
  get_property(imported DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" PROPERTY IMPORTED_TARGETS)
  foreach(name IN LISTS imported)
    get_target_property(directories "${name}" INTERFACE_INCLUDE_DIRECTORIES)
    if(directories)
      set(present "")
      foreach(directory IN LISTS directories)
        if(NOT IS_ABSOLUTE "${directory}" OR EXISTS "${directory}")
          list(APPEND present "${directory}")
        endif()
      endforeach()
      set_target_properties("${name}" PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${present}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL drop_absent_include_directories)
