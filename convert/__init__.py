"""Makes models smaller: passes, pruning, export targets, explain, report."""
