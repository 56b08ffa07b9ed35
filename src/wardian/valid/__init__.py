"""Spec chapter "Validation": a module is checked before anything of it may be compiled or run."""
