"""Policy answers two questions: who is it, and may it?

It keeps agents, their tiers, secrets and revocations, the policy set in force, and approvals. Every decision is in
the event log before its answer leaves; what is unknown, stale or unreadable is refused. An ALLOW for an effect carries
a permit that the actuators check, so nothing acts past it.
"""
