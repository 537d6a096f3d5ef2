"""What the tools have in common: arguments and configs, and how a command ends."""
