"""Operations that have a second way to be computed: on less memory, in another memory format, or without a wait.

Each file holds one operation: the plain form, which is the paper's equation; the other form, which gives the same
values; and the predicate that says when the other form runs. Everything else in the package calls the operation and
does not know which form runs.
"""
