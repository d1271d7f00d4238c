"""The dialer: a real Asterisk in its own root file system, configured as VICIdial configures one."""
