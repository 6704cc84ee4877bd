"""Several machines on one: each host is a network namespace, and a bridge joins them."""
