"""Fuzzing: mutated checkpoints, states, cards, exports, images and predictions must be refused, or read as they are.

make fuzz                                              # two minutes, every kind
PYTHONPATH=tests python -m fuzz --minutes 30 --seed 7 --only checkpoints,images
"""
