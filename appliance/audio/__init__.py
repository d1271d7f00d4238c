"""Pure audio arithmetic: formats, levels, frame rings. Imports nothing of the product."""
