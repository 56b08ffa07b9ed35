"""Spec chapter "Structure": types, the instruction table, and the module model. Imports nothing above it."""
