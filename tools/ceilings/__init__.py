"""How much one queue and one Redis take."""
