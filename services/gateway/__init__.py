"""The gateway is the only door.

Whoever comes from outside is known by a key, held to a role and a rate, and answered over REST or gRPC; whoever is
turned away is recorded. It decides nothing about agents and keeps nothing: every answer is another service's.
"""
