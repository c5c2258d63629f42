"""Names in the files that evaluations write beside their result: known here to those that read them without torch."""

EMBEDDING = "embedding.npz"
LEAKAGE = "leakage.parquet"
LOCALISATION = "localisation.parquet"
SALIENCY = "saliency.npz"
SEGMENTATION = "segmentation.parquet"
# View of a transfer's metrics that are of the target data set.
TRANSFER, TRANSFER_HOME, TARGET = "transfer.parquet", "transfer_home.parquet", "target"
