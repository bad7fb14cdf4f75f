"""The book in PostgreSQL."""
