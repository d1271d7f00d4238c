"""The telephone line: registration, calls and their media. The only importer of pjsua2; nothing of it leaves here."""
