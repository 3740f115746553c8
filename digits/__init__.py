"""What the three scripts stand on: one file for one thing."""
