"""Tests of what the clients do without a network."""
