"""agentlaunch: run a coding agent on a model of your own."""

__version__ = "0.1.0"
