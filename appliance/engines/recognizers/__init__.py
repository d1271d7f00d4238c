"""Recognizers: speech to text."""
