#!/usr/bin/env python3
"""Reads a TensorBoard event file of tern with nothing but the format's description.

Usage: event_file_test.py TRAIN_RUN_TEST
The test program writes the file; framing, checksums and protocol buffers are decoded here, bit by
bit, without any library that tern uses.
"""

import math
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def crc32c(data):
    """Castagnoli, reflected, one bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(data):
    at = 0
    while at < len(data):
        head = data[at:at + 8]
        (length,) = struct.unpack("<Q", head)
        assert struct.unpack("<I", data[at + 8:at + 12])[0] == masked(head), f"length at {at}"
        body = data[at + 12:at + 12 + length]
        assert len(body) == length, f"record at {at} is cut off"
        assert struct.unpack("<I", data[at + 12 + length:at + 16 + length])[0] == masked(body), at
        yield body
        at += 16 + length


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at


def fields(data):
    """{field number: [value, ...]}: int for varints, bytes for all else."""
    out, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            if kind == 2:
                size, at = varint(data, at)
            else:
                size = {1: 8, 5: 4}[kind]
            value = data[at:at + size]
            assert len(value) == size
            at += size
        out.setdefault(key >> 3, []).append(value)
    return out


def decode(record):
    event = fields(record)
    assert set(event) <= {1, 2, 3, 5, 7}, event.keys()
    (wall,) = struct.unpack("<d", event[1][0])
    assert abs(wall - time.time()) < 600, wall
    step = event.get(2, [0])[0]
    if 3 in event:
        return step, "version", event[3][0].decode()
    if 7 in event:
        return step, "session", fields(event[7][0])
    (value,) = fields(event[5][0])[1]
    value = fields(value)
    tag = value[1][0].decode()
    if 2 in value:
        assert set(value) == {1, 2}
        return step, tag, struct.unpack("<f", value[2][0])[0]
    assert set(value) == {1, 8, 9}
    assert fields(fields(value[9][0])[1][0]) == {1: [b"text"]}
    tensor = fields(value[8][0])
    assert tensor[1] == [7]  # DT_STRING
    assert fields(fields(tensor[2][0])[2][0]) == {1: [1]}  # One dimension, of size 1.
    assert set(tensor) == {1, 2, 8} and len(tensor[8]) == 1
    return step, tag, tensor[8][0].decode("utf-8")


def main():
    assert crc32c(b"123456789") == 0xE3069283
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "--gtest_filter=EventFileSample.*"], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, "TERN_EVENT_FILE_OUT": folder})
        (file,) = Path(folder).iterdir()
        prefix, seconds, rest = file.name.rsplit("tfevents.", 1)[0], *file.name.rsplit(
            "tfevents.", 1)[1].split(".", 1)
        assert prefix == "events.out." and abs(int(seconds) - time.time()) < 600 and rest
        data = file.read_bytes()
    found = [decode(record) for record in records(data)]
    single = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    tiny = struct.unpack("<f", struct.pack("<f", -1e-30))[0]
    expected = [
        (0, "version", "brain.Event:2"),
        (42, "session", {1: [1]}),
        (42, "training/loss", 2.5),
        (43, "held-out/bits per byte", single),
        (1 << 40, "learning rate", tiny),
        (44, "loss", math.nan),
        (45, "samples/0", "Es war einmal\nむかし \N{REPLACEMENT CHARACTER}"),
        (0, "empty", ""),
        (46, "long", "x" * 100000),
    ]
    assert len(found) == len(expected), found
    for a, b in zip(found, expected):
        same = a == b or (a[:2] == b[:2] and isinstance(a[2], float) and math.isnan(a[2])
                          and isinstance(b[2], float) and math.isnan(b[2]))
        assert same, f"{a} found, expected {b}"

    # The checks above must be able to fail: one flipped bit anywhere is found.
    for at in range(0, min(len(data), 400)):
        broken = bytearray(data)
        broken[at] ^= 0x10
        try:
            list(records(bytes(broken)))
        except (AssertionError, struct.error):
            continue
        raise AssertionError(f"a flipped bit in byte {at} was not found")
    print(f"{len(found)} records, {len(data)} bytes: as TensorBoard reads them")


if __name__ == "__main__":
    main()
