"""Errors, files, lazy imports, text tables, threads and types, which all of cnnzoo uses; imports none of it."""
