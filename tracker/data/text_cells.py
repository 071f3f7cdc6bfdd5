"""Text in the cells of CSV tables, such that no spreadsheet takes it for a formula.

A spreadsheet computes a cell that begins with =, +, -, @ or some invisible characters, as a name from a stranger's file
may do. The usual remedy is an apostrophe before it. So that reading gives the same text again, a text that begins with
apostrophes and such a character gets one more.

Source: OWASP, "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection
"""

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def to_cell(text: str) -> str:
    """Returns a text for a cell. Numbers are no texts: a negative one is to stay as it is.

    Example:
        >>> to_cell("person"), to_cell("=1+1"), to_cell("'=1+1")
        ('person', "'=1+1", "''=1+1")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    """Returns the text of a cell that `to_cell` gave.

    Example:
        >>> from_cell("person"), from_cell("'=1+1"), from_cell("'s")
        ('person', '=1+1', "'s")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
