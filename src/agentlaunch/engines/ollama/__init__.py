"""Ollama through its HTTP API: what it is, what it holds, pulling, deriving, loading, starting."""
