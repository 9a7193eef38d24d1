"""The router of hybrid mode: which engines serve which role, as a LiteLLM proxy of our own."""
