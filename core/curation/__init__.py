"""Data curation: hierarchical k-means, sampling from its tree, and whom a trial trains on (arXiv 2405.15613)."""
