"""Minds: what the caller meant, and what to say."""
