"""Test kit for programs that use syncnet. `plugin` has fixtures for pytest, which pytest finds by its entry point."""
