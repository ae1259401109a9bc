"""The manifest and the shipped weights, installed as cnnzoo.weights."""
