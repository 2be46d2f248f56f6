"""Benchmarks: keras-gen beside stock Keras and beside code written by hand for each backend."""
