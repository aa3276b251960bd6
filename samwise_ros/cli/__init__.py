"""The `samwise` command line: thin commands over the library."""
