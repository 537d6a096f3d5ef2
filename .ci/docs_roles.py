"""MkDocs hook: roles of reStructuredText in docstrings, such as ``:class:`~a.b.C```, become code without the role."""

import re


def on_page_content(html: str, **kwargs) -> str:
    html = re.sub(r':(?:class|meth|func|mod|attr):<code>~[\w.]*?(\w+)</code>', r'<code>\1</code>', html)
    return re.sub(r':(?:class|meth|func|mod|attr):<code>', '<code>', html)
