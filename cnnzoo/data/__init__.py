"""From whatever holds images to arrays, split and checked."""
