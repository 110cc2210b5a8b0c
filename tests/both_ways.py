"""Requests of all kinds, each sent by both short ways and by the long one, and what differs between the answers."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from typing import Any

ROUTE = "/predict"
# What sends a request the long way, and changes nothing else; a later header of the same name counts instead.
LONG = "content-encoding: identity"
CLOSE = "connection: close"
# Of each answer anew: they are compared by their form.
NEW = re.compile(rb"(?m)^(date|x-bentoml-request-id|x-answer-id): .*\r$")
VALUES = [
    None, True, False, 0, -1, 1, 1.0, 1.5, 2.0, -0.0, 1e2, 1e308, 10**15, 2**53, 2**53 + 1, 10**400, float("nan"),
    float("inf"), "", "a", "ZZ", "JFK", "1", "10:30", "a\\b", '"', "é", "\U0001f600", "x" * 300, [], [1], {}, {"a": 1},
    {"temp": 1, "humid": 2},
]  # fmt: skip
KINDS = [
    "application/json", "application/json;", "application/json; charset=utf-8", "application/json;charset=latin-1",
    "Application/JSON", " application/json", "text/json", "text/plain", "application/vnd.bentoml+pickle",
    "multipart/form-data", "",
]  # fmt: skip
HEADERS = [
    "x-request-id: mine", "x-request-id: a b", "x-request-id: ", "x-request-id: one\r\nx-request-id: two",
    "x-request-id: " + "x" * 65, "content-type: text/plain", "content-type: application/json", "content-encoding: gzip",
    "content-encoding: identity", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "accept: a/b",
    "origin: http://elsewhere", "cookie: a=b", "x-answer-id: mine", "authorization: Basic YTpi",
]  # fmt: skip
TARGETS = ["POST /predict", "POST /predict?a=b", "POST /pr%65dict", "POST /predict/", "GET /predict", "PUT /predict"]


def differing(url: tuple[str, int], rows: list[dict[str, Any]], count: int, seed: int) -> tuple[int, list[str]]:
    """How many of `count` random requests were answered with 200, and those whose answers differ.

    Each is sent by the short way through the server, by the long one, and on a connection that has just had an answer.
    """
    accepted, found, plain = 0, [], json.dumps({"row": rows[0]}).encode()
    for target, headers, body in made(rows, count, random.Random(seed)):  # noqa: S311 - no secrets
        request = target, headers, body
        short, long = (answer(url, [(target, [CLOSE, *extra, *headers], body)]) for extra in ((), (LONG,)))
        kept = answer(url, [("POST /predict", ["content-type: application/json"], plain), request])
        accepted += short.startswith(b"HTTP/1.1 200")
        if len({short, long, kept}) > 1:
            found.append(f"{target} {headers} {body[:2000]!r}\n{short!r}\n{long!r}\n{kept!r}")
    return accepted, found


def answer(url: tuple[str, int], asked: list[tuple[str, list[str], bytes]]) -> bytes:
    """All bytes of the answer to the last request of a connection, but for what is new in each and whether it ends."""
    with socket.create_connection(url, timeout=30) as caller:
        for target, headers, body in asked:
            lines = [f"{target} HTTP/1.1", "host: here", *headers, f"content-length: {len(body)}"]
            caller.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            got = whole(caller)
    got = got.replace(f"{CLOSE}\r\n".encode(), b"", 1)
    ids = dict(re.findall(rb"(?m)^(x-request-id|x-answer-id): (.*)\r$", got))
    if ids.get(b"x-request-id") == ids.get(b"x-answer-id") != None:  # noqa: E711 - in the middle of a chain
        got = got.replace(ids[b"x-answer-id"], b"-" * len(ids[b"x-answer-id"]))
    return NEW.sub(lambda new: new[1] + b": " + re.sub(rb"[0-9a-f]", b"-", new[0][len(new[1]) + 2 :]), got)


def whole(caller: socket.socket) -> bytes:
    """One answer, to its last byte and no further."""
    got = b""
    while not got.endswith(b"\r\n\r\n") and (some := caller.recv(65536, socket.MSG_PEEK)):
        # Of what is there, no more than the end of the headers.
        end = (got + some).find(b"\r\n\r\n")
        got += caller.recv(len(some) if end < 0 else end + 4 - len(got))
    length = re.search(rb"(?mi)^content-length: (\d+)\r$", got)
    if not length:
        # What has no length is told in chunks, or up to the end.
        while not got.endswith(b"\r\n0\r\n\r\n") and (some := caller.recv(1)):
            got += some
        return got
    missing = int(length[1])
    while missing and (some := caller.recv(missing)):
        got, missing = got + some, missing - len(some)
    return got


def made(rows: list[dict[str, Any]], count: int, chance: random.Random) -> Iterator[tuple[str, list[str], bytes]]:
    """Targets, headers and bodies of random requests: about half of them are valid."""
    for _ in range(count):
        row = dict(chance.choice(rows))
        target, headers = "POST /predict", ["content-type: application/json"]
        text = json.dumps({"row": row}, allow_nan=True)
        kind = chance.randrange(10)
        if kind == 0:
            target = chance.choice(TARGETS)
        elif kind == 1:
            headers = [f"content-type: {chance.choice(KINDS)}"] if chance.random() < 0.9 else []
        elif kind == 2:
            headers += chance.sample(HEADERS, chance.randint(1, 2))
        elif kind in (3, 4):
            row[chance.choice(list(row))] = chance.choice(VALUES)
            text = json.dumps({"row": row}, ensure_ascii=chance.random() < 0.5)
        elif kind == 5:
            text = written_otherwise(row, chance)
        elif kind == 6:
            text = other_keys(row, chance)
        body = text.encode("utf-8", "surrogatepass")
        yield target, headers, other_bytes(body, chance) if kind == 7 else body


def written_otherwise(row: dict[str, Any], chance: random.Random) -> str:
    """The same row in other words: order, space, escapes, forms of numbers."""
    names = list(row)
    chance.shuffle(names)
    space = chance.choice(["", " ", "\n\t "])
    text = json.dumps({"row": {name: row[name] for name in names}}, indent=chance.choice([None, 1, 4]))
    match chance.randrange(5):
        case 0:
            text = text.replace('"temp"', '"t\\u0065mp"')
        case 1:
            text = re.sub(r'"([A-Z])', lambda found: f'"\\u{ord(found[1]):04x}', text)
        case 2:
            text = re.sub(r"(\d)\.0\b", r"\1", text)
        case 3:
            text = re.sub(r": (\d+)([,}\s])", chance.choice([r": \1.0\2", r": \1e0\2", r": 0\1\2", r": -\1\2"]), text)
    return space + text + space


def other_keys(row: dict[str, Any], chance: random.Random) -> str:
    """Keys that are missing, too many, or there twice, on top or in the row."""
    name = chance.choice(list(row))
    value, text = json.dumps(row[name]), json.dumps({"row": row})
    return chance.choice(
        [
            json.dumps({"row": {each: row[each] for each in row if each != name}}),
            json.dumps({"row": row | {chance.choice(["a", "row", "late", "a:b", "column_0"]): 1}}),
            text.replace('{"row": {', f'{{"row": {{"{name}": {value}, '),
            text.replace('{"row": {', '{"row": {"\\u0074emp": ' + chance.choice(['"a:b"', "1", "null"]) + ", "),
            f'{{"row": {value}, {text[1:]}',
            json.dumps({chance.choice(["rows", "Row", ""]): row}),
            json.dumps({"row": row, chance.choice(["rows", "extra"]): chance.choice([[], 1])}),
        ]
    )


def other_bytes(body: bytes, chance: random.Random) -> bytes:
    """A body that is cut, damaged, or no JSON at all."""
    place = chance.randrange(len(body))
    match chance.randrange(6):
        case 0:
            return body[:place]
        case 1:
            return body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]
        case 2:
            return chance.choice([b"", b"null", b"[]", b"{}", b'{"row": null}', b'{"row": []}', b"[" * 3000])
        case 3:
            return body + chance.choice([b"}", b"\x00", b"{}", b" ", b"\xff"])
        case 4:
            return chance.choice([b"\xef\xbb\xbf" + body, body.decode().encode("utf-16")])
        case _:
            return b"\x1f\x8b" + body
