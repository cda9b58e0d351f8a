"""Where work is done: in this process, in others beside it, or on a Ray cluster, with the same results."""
