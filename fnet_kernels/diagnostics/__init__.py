"""`explain` reports the execution path of a shape; `doctor` checks the installation."""
