"""The same boards in a browser, with nothing but this package: see ``app.create_app``."""
