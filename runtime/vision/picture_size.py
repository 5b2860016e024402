"""How many pixels a PNG or JPEG claims to have, from its header: a small file can make a decoder take gigabytes."""

from __future__ import annotations

MOST_PIXELS = 1 << 28
"""More than any camera takes; what claims more is not decoded."""

_NO_SIZE = {0xC4, 0xC8, 0xCC}  # among the start-of-frame markers 0xC0-0xCF: tables and extensions
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment


def claimed_pixels(data: bytes) -> int:
    """Width times height as the header of a PNG (IHDR) or JPEG (SOF) says; 0 where none does."""
    if data.startswith(b"\x89PNG"):
        return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")
    if not data.startswith(b"\xff\xd8"):
        return 0
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 9 <= len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF) or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            return int.from_bytes(data[at + 5 : at + 7], "big") * int.from_bytes(data[at + 7 : at + 9], "big")
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return 0
