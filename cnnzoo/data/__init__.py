"""Load, check, split, transform and augment images."""
