"""Between what REST shows and the messages of the services behind the door. Translates, and does nothing else."""
