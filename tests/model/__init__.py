"""The protocol of release as an explicit model, explored; its mutants; its traces, replayed on the bus in memory."""
