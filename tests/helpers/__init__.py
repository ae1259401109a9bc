"""Code that several test modules share; import it as `from helpers.images import make_blobs`."""
