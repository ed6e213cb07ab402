"""What the cache is made of, one file per ingredient."""
