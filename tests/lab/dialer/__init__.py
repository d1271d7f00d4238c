"""A campaign day: the box works for VICIdial's double, whose telephony is the lab's real Asterisk."""
