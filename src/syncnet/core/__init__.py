"""The deterministic core: commands in, effects out. Standard library only; no clock, no chance, no I/O."""
