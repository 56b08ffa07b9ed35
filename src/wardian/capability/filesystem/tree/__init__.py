"""Trees of files that are not the host's: in memory, from archives, or over a directory that stays as it is."""
