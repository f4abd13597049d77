"""What is done to a definition before a net is built: upgrade, filter, insert splits."""
