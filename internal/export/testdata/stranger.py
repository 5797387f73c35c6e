"""Checks an export with nothing but the standard library: hashes of the files, log digest, records."""
import base64, hashlib, json, os, struct, sys

directory = sys.argv[1]


def sha(data):
    return hashlib.sha256(data).digest()


def read(name):
    with open(os.path.join(directory, name), "rb") as f:
        return f.read()


def fail(why):
    sys.exit("export: " + why)


manifest = json.loads(read("manifest.json"))
text = read("manifest.json").replace(manifest["sum"].encode(), b"")
if sha(text).hex() != manifest["sum"]:
    fail("the manifest was changed")
for f in manifest["files"]:
    data = read(f["name"])
    if len(data) != f["size"] or sha(data).hex() != f["sha256"]:
        fail(f["name"] + " was changed")


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def first_field(message):
    """The bytes of field 1 of a protobuf message: of a submission the record as it was received."""
    tag, at = varint(message, 0)
    if tag != 1 << 3 | 2:
        fail("a submission without a record")
    size, at = varint(message, at)
    return message[at : at + size]


# The roots of complete subtrees, from left to right, with their sizes: RFC 6962.
edge = []
if manifest["before"]:
    size = manifest["before"]["seq"]
    widths = [1 << b for b in reversed(range(size.bit_length())) if size >> b & 1]
    edge = list(zip(widths, map(bytes.fromhex, manifest["before"]["subtrees"])))

records = 0
with open(os.path.join(directory, "events.ndjson"), encoding="utf-8") as lines:
    for seq, line in enumerate(lines, manifest["range"]["from_seq"]):
        event = json.loads(line)
        payload, leaf = base64.b64decode(event["payload"]), event["leaf"]
        header = struct.pack(">BQqH", 1, seq, leaf["raw_time_ns"], leaf["kind"]) + sha(payload)
        width, node = 1, sha(b"\0" + header)
        while edge and edge[-1][0] == width:
            node, width = sha(b"\1" + edge.pop()[1] + node), width * 2
        edge.append((width, node))
        if event["kind"] == "submission":
            records += 1
            first_field(payload[16:])
root = edge.pop()[1]
while edge:
    root = sha(b"\1" + edge.pop()[1] + root)
if root.hex() != manifest["end"]["log"]:
    fail("the events hash to " + root.hex())
print(records, "records; log digest at event", manifest["end"]["seq"], root.hex())
