"""What serves models, driven."""
