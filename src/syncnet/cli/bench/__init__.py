"""`syncnet bench`: a load on a server, and the times that it measured."""
