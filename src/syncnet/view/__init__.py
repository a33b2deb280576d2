"""What happened, in words and pictures: pure functions of the effects. Knows the core and nothing else."""
