"""Help for tests of programs that use syncnet: `plugin` has fixtures for pytest, found by its entry point."""
