"""Spec chapter "Execution / Runtime structure": what exists while guests run. Blind to how code is made."""
