"""The limits of the machine: what nobody who does more can pass."""
