"""What ``benchmarks/reproduce.py`` consists of: the papers' tables, their runs, records, and the page made of them."""
