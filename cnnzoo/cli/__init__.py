"""The command line, one file for each group of commands; `cnnzoo.cli.main` holds the entry point."""
