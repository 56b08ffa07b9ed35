"""Running whole programs: the guest's side of ``subprocess.run``."""
