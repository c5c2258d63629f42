"""Automatic data curation: hierarchical k-means, sampling from its tree, and what a trial trains on (arXiv 2405.15613)."""
