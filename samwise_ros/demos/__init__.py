"""Demos over DDS, each a group of real processes: `samwise demo`, `demo follow` and `demo grasp`.

Nothing else of the package imports them but the command line.
"""
