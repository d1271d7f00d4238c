"""The daemon's Unix socket: what it is doing, as it happens, for consoles, lights and scripts."""
