"""What is kept: the journal of calls (SQLite), their recordings and transcripts."""
