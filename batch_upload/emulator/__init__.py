"""The service on loopback: model-validated awsJson1_0 over HTTP, faults as data. Imports nothing of ours but errors."""
