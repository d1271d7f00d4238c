"""The dialers a box can work for, behind one Protocol: `protocol.py`. One folder or file each."""
