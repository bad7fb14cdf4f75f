"""The time machine: recorded decisions decided anew, in a process of its own, so that live ones do not wait for it."""
