"""`explain` says which path a shape takes, `doctor` whether an installation works."""
