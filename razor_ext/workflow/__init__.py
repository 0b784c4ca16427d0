"""The pipeline by one command: from a stock config and a checkpoint to a deployed file."""
