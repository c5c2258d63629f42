"""What evaluations beyond label AUROC say in a report: a table of its own for each, one file each."""
