"""The files of a data directory, read by docs/formats.md alone: places and sizes of fields are taken
from its drawings, so a page that is wrong reads wrong."""

import base64
import pathlib
import re
import uuid

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/formats.md").read_text()
BLOCK = 4096


def crc32c(data, table=[]):
    if not table:
        for value in range(256):
            for _ in range(8):
                value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
            table.append(value)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


class Drawing:
    """One box of the page: {name: (offset, size)}; a name is what stands before `:`, `,`, `;`, `=`."""

    def __init__(self, rows):
        self.places = {re.split(r"[:,;=\"]", label)[0].strip(): (at, size)
                       for at, size, label in rows if size}
        self.bytes = max(at + size for at, size in self.places.values() if at >= 0)

    def read(self, data, at=0, order="little"):
        def value(place):
            start, size = place
            field = data[at + start:at + start + size]
            assert len(field) == size, f"{place} lies beyond the end"
            return bytes(field) if size > 8 else int.from_bytes(field, order, signed=size == 8)
        return {name: value(place) for name, place in self.places.items() if place[0] >= 0}


def drawings(title):
    """The boxes under a headline, in the order in which they begin: top to bottom, left to right."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)[1]
    boxes, open_at = [], {}
    for line in section.splitlines():
        for corner in re.finditer("┌", line):
            open_at[corner.start()] = []
            boxes.append(open_at[corner.start()])
        for row in re.finditer(r"│ *(-?\d+) │ *(\d*) │ ([^│]*)", line):
            if row.start() in open_at:
                open_at[row.start()].append((int(row[1]), int(row[2] or 0), row[3].strip()))
    return [Drawing(box) for box in boxes if box]


MANIFEST, MANIFEST_PARTITION, MANIFEST_SEGMENT = drawings("Manifest")
(SEGMENT,) = drawings("Segment")
INDEX, INDEX_MARK = drawings("Segment index")
(BATCH,) = drawings("Record batch")
WAL_FILE, FRAME = drawings("WAL")
RECORD, SPEC_LEFT, SPEC_RIGHT, SNAPSHOT = drawings("Catalog")


def _checked(data, end=None):
    end = len(data) - 4 if end is None else end
    assert int.from_bytes(data[end:end + 4], "little") == crc32c(data[:end]), "wrong checksum"


def marker(path):
    text = pathlib.Path(path).read_bytes()
    title, *lines = text.decode().splitlines()
    assert title == "bourn data directory; do not edit"
    found = dict(line.split(" ") for line in lines)
    assert int(found["crc"], 16) == crc32c(text[:text.index(b"crc ")])
    return found


def manifest(path):
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"bournman"
    _checked(data)
    head = MANIFEST.read(data)
    head["partitions"], at = [], MANIFEST.bytes
    for _ in range(head["partitions that follow"]):
        entry = MANIFEST_PARTITION.read(data, at)
        at += MANIFEST_PARTITION.bytes
        entry["segments"] = []
        for _ in range(entry["segments that follow"]):
            entry["segments"].append(MANIFEST_SEGMENT.read(data, at))
            at += MANIFEST_SEGMENT.bytes
        head["partitions"].append(entry)
    assert at == len(data) - 4
    return head


def varint(data, at):
    shift = number = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number >> 1 ^ -(number & 1), at


def _bytes(data, at):
    length, at = varint(data, at)
    return (None, at) if length < 0 else (data[at:at + length], at + length)


def record(data, at, batch):
    length, at = varint(data, at)
    end = at + length
    assert data[at] == 0
    later, at = varint(data, at + 1)
    delta, at = varint(data, at)
    key, at = _bytes(data, at)
    value, at = _bytes(data, at)
    count, at = varint(data, at)
    headers = []
    for _ in range(count):
        name, at = _bytes(data, at)
        content, at = _bytes(data, at)
        headers.append((name.decode(), content))
    assert at == end
    return {"offset": batch["base offset"] + delta, "timestamp": batch["base timestamp"] + later,
            "key": key, "value": value, "headers": headers}, end


def batch(data, at):
    """(fields with "records", where the next one begins)"""
    b = BATCH.read(data, at, "big")
    end = at + BATCH.places["length"][0] + 4 + b["length"]
    body = at + BATCH.places["attributes"][0]
    assert b["magic"] == 2 and end <= len(data)
    assert b["CRC of bytes 21 to the end"] == crc32c(data[body:end])
    b["records"], at = [], at + BATCH.bytes
    for _ in range(b["record count"]):
        one, at = record(data, at, b)
        b["records"].append(one)
    assert at == end
    return b, end


def batches(data, at, end, first):
    found = []
    while at < end:
        if int.from_bytes(data[at:at + 8], "big") != first or at + BATCH.bytes > end:
            after = -(-at // BLOCK) * BLOCK
            assert after > at and not any(data[at:after]), f"neither batch nor padding at {at}"
            at = after
        one, at = batch(data, at)
        found.append(one)
        first = one["base offset"] + one["last offset delta"] + 1
    return found


def segment(path, length=None):
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"bournseg"
    _checked(data, BLOCK - 4)
    head = SEGMENT.read(data)
    generation = f"-{head['generation']}" if head["generation"] else ""
    assert f"{head['base offset']:020}{generation}.seg" == path.name
    assert str(head["partition"]) == path.parent.name
    assert str(uuid.UUID(bytes=head["topic"])) == path.parent.parent.name
    head["batches"] = batches(data, BLOCK, len(data) if length is None else length, head["base offset"])
    return head


def index(path):
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"bournidx"
    _checked(data)
    head = INDEX.read(data)
    end = INDEX.bytes + head["marks that follow"] * INDEX_MARK.bytes
    assert end == len(data) - 4
    head["marks"] = [INDEX_MARK.read(data, at) for at in range(INDEX.bytes, end, INDEX_MARK.bytes)]
    return head


def frame(data, at):
    """The whole frame at that byte, or None."""
    if data[at:at + 4] != b"bWAL" or at + FRAME.bytes > len(data):
        return None
    _checked(data[at:at + FRAME.bytes])
    one = FRAME.read(data, at)
    one["payload"] = data[at + FRAME.bytes:at + FRAME.bytes + one["payload length"]]
    assert crc32c(one["payload"]) == one["CRC of the payload"]
    one["end"] = at + -(-(FRAME.bytes + one["payload length"]) // 8) * 8
    return one


def wal_file(path):
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"bournwal"
    head = WAL_FILE.read(data)
    _checked(data, WAL_FILE.places["CRC of bytes 0–55"][0])
    _checked(data, WAL_FILE.places["CRC of bytes 0–67"][0])
    head["kind"] = data[12:16].decode()
    head["frames"], at = [], BLOCK
    while at < len(data):
        one = frame(data, at)
        if one and one["generation"] == head["generation"]:
            head["frames"].append({**one, "at": at})
            at = one["end"]
        elif at % BLOCK:  # the rest of a group's last block
            at += BLOCK - at % BLOCK
        else:
            break
    return head


def wal(directory):
    return [wal_file(path) for path in sorted(pathlib.Path(directory).glob("*.wal"),
                                              key=lambda path: int(path.stem))]


def topic_spec(data, at=0):
    spec = {**SPEC_LEFT.read(data, at), **SPEC_RIGHT.read(data, at)}
    names = at + SPEC_RIGHT.bytes
    spec["name"] = data[names:names + spec["length of name"]].decode()
    names += spec["length of name"]
    spec["engine"] = data[names:names + spec["length of engine"]].decode()
    assert names + spec["length of engine"] == at + 4 + spec["length after this field"]
    return spec


def catalog_record(payload):
    change = {"version": payload[0], "verb": payload[1]}
    if change["verb"] == 3:
        change["uuid"] = payload[4:]
    else:
        change["spec"] = topic_spec(payload, RECORD.bytes)
    return change


def cursor(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert data[0] in (1, 2)
    assert data[0] == 1 or len(data) < 1 + 8 + 5 + 5 + 10 + 4  # of one partition alone: one entry
    assert int.from_bytes(data[-4:], "big") == crc32c(data[:-4])
    entries, at = [], 1
    while at < len(data) - 4:
        topic = data[at:at + 8]
        partition, at = varint(data, at + 8)
        epoch, at = varint(data, at)
        offset, at = varint(data, at)
        entries.append((topic, partition, epoch, offset))
    return entries


def _put_varint(number):
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def cursor_text(topic, partition, epoch, offset):
    """As the broker would write it, of one entry."""
    data = b"\x01" + topic[:8] + b"".join(map(_put_varint, (partition, epoch, offset)))
    data += crc32c(data).to_bytes(4, "big")
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
