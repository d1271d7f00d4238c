"""Doubles of the systems around the box, each a real server that keeps real state. One folder each."""
