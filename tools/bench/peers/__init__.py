"""The contenders beside Breakwater, each as its users would write it (see ../README.md)."""
