"""The lab: a real Asterisk, customers who talk, and a meter on the wire. It imports the appliance only from outside."""
