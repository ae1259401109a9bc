"""One module per runtime: convert, save and run networks."""
