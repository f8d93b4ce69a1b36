"""Lanes of a manifest as jobs of an engine, for workers on many machines. Needs `batch-upload[fleet]`."""
