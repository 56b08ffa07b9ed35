"""Directories and files as capabilities; what opens a host path is :mod:`wardian.capability.filesystem.path`."""
