"""Fixes: changes of fields become edits of the file, proved by reading the result; imported only when asked for."""

from loraplan.fixing.one import Refused
from loraplan.fixing.session import Fixed, fix_text

__all__ = ["Fixed", "Refused", "fix_text"]
