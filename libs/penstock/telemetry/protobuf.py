"""The wire format of protocol buffers, as much of it as spans need: written by hand, since making message objects costs
several times as much as making their bytes. Nothing is read in this format, and no message is known here.
"""

import struct

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_fixed64 = struct.Struct("<Q")
_fixed32 = struct.Struct("<I")


def varint(number: int) -> bytes:
    """A whole number that is not negative, seven bits to a byte."""
    if number < _SMALL:
        return _SMALL_ONES[number]
    return _varint(number)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


_SMALL = 1024
_SMALL_ONES = [_varint(number) for number in range(_SMALL)]


def tag(field: int, kind: int) -> bytes:
    """What stands in front of a field's value."""
    return varint(field << 3 | kind)


def number(field: int, value: int) -> bytes:
    """A field of type int64 or of an enumeration; negative ones are ten bytes long."""
    return tag(field, _VARINT) + varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def fixed64(field: int, value: int) -> bytes:
    return tag(field, _FIXED64) + _fixed64.pack(value)


def fixed32(field: int, value: int) -> bytes:
    return tag(field, _FIXED32) + _fixed32.pack(value)


def delimited(field: int, value: bytes) -> bytes:
    """A field of type bytes, or a message that is encoded already."""
    return varint(field << 3 | _BYTES) + varint(len(value)) + value


def text(field: int, value: str) -> bytes:
    return delimited(field, value.encode("utf-8", "replace"))
