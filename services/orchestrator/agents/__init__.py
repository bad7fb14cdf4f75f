"""The built-in agents: they read a log, say what is wrong with it, by which lines, and what to do about it.

A process of their own, attached by the same gRPC stream as anyone's agents: they propose, and never act. They must not
reach inside the orchestrator, and an analysis knows neither clock nor network.
"""
