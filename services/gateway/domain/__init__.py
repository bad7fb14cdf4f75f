"""Who may come in, what they may ask for, what is written down of those turned away, and what REST shows. Pure."""
