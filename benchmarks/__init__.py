"""Measurements that are too long, and too much about the machine, to be tests."""
