"""Many runs: trains and evaluates models side by side on one split, one row a run."""
