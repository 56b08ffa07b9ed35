"""The command line: ``wardian run|validate|inspect|compile|cache|doctor``. The only reader of ``os.environ``."""
