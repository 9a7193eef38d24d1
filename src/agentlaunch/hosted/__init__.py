"""A model for a team on an engine that exists: how many GPUs, which manifest, is it up."""
