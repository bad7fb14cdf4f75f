"""The hands: a process of its own that acts only with a permit signed by policy, and once per effect.

Knows nothing of runs or agents. Whoever holds credentials for the outside holds them here and nowhere else.
"""
