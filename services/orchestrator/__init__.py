"""The orchestrator says what happens next.

It takes a run from BOOTSTRAP to EXIT: agents think, actuators act, the orchestrator governs. Each step is one event;
a run killed anywhere goes on where its events end, and no effect happens twice.
"""
