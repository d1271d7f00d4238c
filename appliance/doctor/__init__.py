"""`sidetone doctor`: everything that can be wrong between the box and its dialer, each with what to do about it."""
