"""Three members of MongoDB, as a driver sees them: a mock, since no MongoDB can run here as a replica set.

It speaks OP_MSG, and OP_QUERY for a driver's first question, as far as our store needs them.
"""

import socketserver
import struct
import threading
import time
from typing import Any

import bson

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
NOT_PRIMARY = {"ok": 0, "code": 10107, "codeName": "NotWritablePrimary", "errmsg": "not primary"}

Document = dict[str, Any]


class ReplicaSet:
    """primary: the number of the member that takes writes. documents: what a majority has, by _id.

    is_late: a majority does not answer in time. lag: seconds until it does. concerns: each insert's writeConcern.
    """

    def __init__(self) -> None:
        self.primary = 0
        self.is_late = False
        self.lag = 0.0
        self.documents: dict[Any, Document] = {}
        self.concerns: list[Document] = []
        self.members = [_Member(self, number) for number in range(3)]

    @property
    def addresses(self) -> list[str]:
        return [f"127.0.0.1:{member.server_address[1]}" for member in self.members]

    @property
    def url(self) -> str:
        return f"mongodb://{','.join(self.addresses)}/?replicaSet=rs0&heartbeatFrequencyMS=500"

    def close(self) -> None:
        for member in self.members:
            member.end()

    def answer(self, number: int, command: Document) -> Document:
        """Return what a member says to a command."""
        name = next(iter(command))
        if name in ("hello", "ismaster", "isMaster"):
            return self._hello(number)
        if name == "insert":
            return self._insert(command) if number == self.primary else NOT_PRIMARY
        if name == "find":
            wanted = command["filter"]["_id"]["$in"]
            batch = [self.documents[one] for one in wanted if one in self.documents]
            return {"ok": 1, "cursor": {"id": 0, "ns": "breakwater.request_logs", "firstBatch": batch}}
        return {"ok": 1}

    def _hello(self, number: int) -> Document:
        is_primary = number == self.primary
        return {
            "ok": 1,
            "helloOk": True,
            "isWritablePrimary": is_primary,
            "ismaster": is_primary,
            "secondary": not is_primary,
            "setName": "rs0",
            "setVersion": 1,
            "electionId": bson.ObjectId(f"{self.primary:024x}"),
            "hosts": self.addresses,
            "me": self.addresses[number],
            "primary": self.addresses[self.primary],
            "maxWireVersion": 21,
            "minWireVersion": 0,
            "maxBsonObjectSize": 16_777_216,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "logicalSessionTimeoutMinutes": 30,
        }

    def _insert(self, command: Document) -> Document:
        self.concerns.append(command.get("writeConcern", {}))
        time.sleep(self.lag)
        known = [n for n, one in enumerate(command["documents"]) if one["_id"] in self.documents]
        self.documents |= {
            one["_id"]: one for one in command["documents"] if one["_id"] not in self.documents
        }
        told: Document = {"ok": 1, "n": len(command["documents"]) - len(known)}
        if known:
            told["writeErrors"] = [{"index": n, "code": 11000, "errmsg": "duplicate key"} for n in known]
        if self.is_late:
            told["writeConcernError"] = {"code": 64, "errmsg": "waiting for replication timed out"}
        return told


class _Member(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, replica_set: ReplicaSet, number: int) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.replica_set, self.number = replica_set, number
        self.is_ended = False
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def end(self) -> None:
        self.is_ended = True
        self.shutdown()
        self.server_close()


class _Conversation(socketserver.StreamRequestHandler):
    server: _Member

    def handle(self) -> None:
        while len(header := self.rfile.read(16)) == 16 and not self.server.is_ended:
            length, request_id, _, kind = struct.unpack("<iiii", header)
            body = self.rfile.read(length - 16)
            command = _read_query(body) if kind == OP_QUERY else _read_message(body)
            reply = bson.encode(self.server.replica_set.answer(self.server.number, command))
            if kind == OP_QUERY:
                content, kind = struct.pack("<iqii", 8, 0, 0, 1) + reply, OP_REPLY
            else:
                content = struct.pack("<i", 0) + b"\x00" + reply
            self.wfile.write(struct.pack("<iiii", 16 + len(content), 1, request_id, kind) + content)


def _read_query(body: bytes) -> Document:
    return dict(bson.decode(body[body.index(b"\x00", 4) + 9 :]))


def _read_message(body: bytes) -> Document:
    """Return the command, with the documents that came beside it."""
    command: Document = {}
    sections = body[4:]
    while sections:
        kind, size = sections[0], struct.unpack_from("<i", sections, 1)[0]
        section = sections[1 : 1 + size]
        if kind == 0:
            command |= bson.decode(section)
        else:
            name, _, documents = section[4:].partition(b"\x00")
            command[name.decode()] = bson.decode_all(documents)
        sections = sections[1 + size :]
    return command
