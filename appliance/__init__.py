"""Sidetone: a voice agent that survives real phone calls."""

__version__ = "0.1.0"
