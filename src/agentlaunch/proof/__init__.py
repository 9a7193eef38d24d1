"""Proofs: what a model, an engine and an agent really do together, found out by doing it."""
