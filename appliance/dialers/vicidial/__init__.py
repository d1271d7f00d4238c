"""The VICIdial client: its two HTTP APIs, and the box as a remote agent there. GOautodial answers the same."""
