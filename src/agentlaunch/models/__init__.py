"""Models: what they are, what they need, where their weights lie and come from."""
