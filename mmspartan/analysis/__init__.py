"""The paper's figures of trained models: what a network looks at, how far it sees, its waves, and what it costs."""
