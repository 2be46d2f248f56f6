"""Autoencoders: an encoder to codes, a decoder back."""
