"""The whole stack on one machine without Docker: `make run` and the servers of the tests."""
