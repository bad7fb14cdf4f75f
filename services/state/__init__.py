"""state says what is true now: packets, locks, phases, error counts, who is stuck, boards, messages, artifacts,
checkpoints, handoffs, recent revocations; and tells each change to whoever watches.

It promises that a change is an event before it is anything else, that one lock has one holder, told apart from all
earlier ones by a token that never goes back, and that what it answers from memory and keeps in the store can be lost at
any moment and comes back equal to what the log says.
"""
