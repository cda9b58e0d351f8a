"""Results kept: one file of them, what it holds as tables, and what a report is about; read without what trains."""
