"""Tools that stand outside the product and look at it from there; they import none of it."""
