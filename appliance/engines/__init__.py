"""Speech and mind: the workers, their backends and the daemon's side of their sockets."""
