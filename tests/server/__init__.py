"""The decisions of the server, without one."""
