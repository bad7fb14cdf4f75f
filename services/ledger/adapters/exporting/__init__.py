"""Exports are made in a process of their own: decoding and Parquet would keep the ledger from answering."""
