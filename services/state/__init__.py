"""state says what is true now: packets, locks, phases, error counts, artifacts, handoffs, recent revocations.

It promises that a change is an event before it is anything else, that one lock has one holder, told apart from all
earlier ones by a token that never goes back, and that the store it reads from can be wiped at any moment and comes back
equal to what the log says.
"""
