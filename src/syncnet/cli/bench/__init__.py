"""`syncnet bench`: puts a load on a server, and measures its response times."""
