"""Everything on one machine: the supervisor behind `make run`.

Starts NATS and the store from their wheels and each service as a process of its own, waits until all are healthy,
starts again what dies, stops all in order. Knows services by name and port alone.
"""
