"""The paper's tables: what was published, what is counted here, and what must be trained to reproduce the rest."""
