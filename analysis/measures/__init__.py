"""Reports of trials that were not run for what is learned, a file for each measure (core/measures).

A module here offers `write(collected, folder) -> str`: it writes an ablation's tables, figures and report.md, and
returns the table for a terminal.
"""
