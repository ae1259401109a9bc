"""The ground floor: errors, files, lazy imports and text tables. Imports nothing else of cnnzoo."""
