"""What ``benchmarks/stage1.py`` consists of: the loops it times, their turns, and what it times besides."""
