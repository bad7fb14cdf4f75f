"""How good and how quick the analysis is, measured on published logs: `python -m tests.bench.analysis`."""
