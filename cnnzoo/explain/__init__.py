"""Explanations of predictions: maps that show which pixels of a photo speak for a class."""
