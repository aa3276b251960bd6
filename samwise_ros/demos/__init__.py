"""Demos over DDS, each a group of real processes: `samwise demo` and `samwise demo follow`.

Nothing else of the package imports them but the command line.
"""
