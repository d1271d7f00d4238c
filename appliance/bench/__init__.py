"""What `sidetone bench` measures."""
