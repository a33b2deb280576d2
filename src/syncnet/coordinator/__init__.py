"""Joins a log to a machine: the coordinator, the waiters and the timers."""
