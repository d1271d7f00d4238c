"""The product: what happened -> what to do. No I/O, no clock, no thread, no logging of content."""
