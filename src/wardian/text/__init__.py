"""The text format: WAT and WAST to data and back (spec chapter "Text Format")."""
