"""Test kit for programs that use syncnet, and for syncnet itself.

`plugin` has fixtures for pytest, which pytest finds by its entry point. `checker` checks what clients recorded against
the contract. `simulator` runs a cluster with faults of all kinds from a seed.
"""
