"""Settings and campaigns: TOML in and out, validated as a whole."""
