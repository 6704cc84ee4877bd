"""`python -m tools.bench`: the speed of Breakwater beside that of others, on this machine."""
