"""Operations that have a second way to be computed: on less memory, in another memory format, or without a wait.

A file of an operation holds the plain form, which is the paper's equation; the other form, which gives the same values;
and says when the other form runs. Its callers do not know which one does. The other files have what these share:
``device`` and ``tracing`` the predicates, ``activations``, ``memory_format``, ``made_once``, ``recompute`` and
``host_numbers`` the means.
"""
