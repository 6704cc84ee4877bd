"""Faults under load, and the proof that a 202 means kept. Knows the product from outside only."""
