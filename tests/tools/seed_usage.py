"""Writes weeks of usage into a demo's database, as nodes would have recorded it: for pages with something on them."""

import json
import sqlite3
import sys
import time

data, keys = sys.argv[1], json.loads(sys.argv[2])
DAY_MS = 86_400_000
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def request_id(ms, number):
    """A ULID: 48 bits of time and 80 others."""
    value = ms << 80 | number
    return "req_" + "".join(CROCKFORD[value >> 5 * digit & 31] for digit in range(25, -1, -1))


now = int(time.time() * 1000)
today = now // DAY_MS
routes = [
    ("GET", "/api/v1/products", 200, "admitted"),
    ("PATCH", "/api/v1/products/{id}", 200, "admitted"),
    ("POST", "/api/v1/products", 409, "client_error"),
    ("GET", "/api/v1/products/{id}", 404, "client_error"),
    ("POST", "/api/v1/products/{id}/restore", 503, "server_error"),
    ("POST", "/api/v1/products", 403, "scope"),
    ("GET", "/api/v1/products", 429, "rate_limit"),
]
clients = [
    ("203.0.113.24", "skylark-shop/4.2 (node 24)"),
    ("203.0.113.25", "skylark-shop/4.2 (node 24)"),
    ("2001:db8:40:1234:5678:9abc:def0:17", "python-httpx/0.29 with a rather long comment about the machine that it runs on"),
    ("198.51.100.7", ""),
]
with sqlite3.connect(f"{data}/keyhouse.db", timeout=10) as db:
    for nth, key in enumerate(keys):
        db.execute("INSERT OR REPLACE INTO key_activity VALUES (?, ?)", (key, now))
        db.execute("INSERT OR REPLACE INTO key_usage VALUES (?, ?, ?)", (key, now - nth * 9 * DAY_MS - 42_000, clients[0][0]))
        for day in range(90):
            calls = 900 + (day * 7919 + nth * 31) % 1200
            counts = [("admitted", calls), ("client_error", day % 5)]
            if day % 6 == 1:
                counts.append(("rate_limit", 3 + day * 8 % 220))
            for outcome, number in counts:
                db.execute("INSERT OR REPLACE INTO key_calls_by_day VALUES (?, ?, ?, ?)", (key, today - day, outcome, number))
        for place, (address, agent) in enumerate(clients):
            seen = now - place * 11 * 60_000 - nth * 9 * DAY_MS - 42_000
            refused = 0 if place < 3 else 12
            db.execute(
                "INSERT OR REPLACE INTO key_addresses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (key, address, agent, now - 60 * DAY_MS, seen, 41_906 // (place + 1), refused, seen if refused else None, seen),
            )
        for number in range(80):
            at = now - number * number * 4_000 - nth * 700
            method, route, status, outcome = routes[(number * number + nth) % len(routes)]
            address, agent = clients[number % len(clients)]
            row = (key, request_id(at, nth * 1000 + number), at, method, route, status, outcome, address, agent)
            db.execute("INSERT OR REPLACE INTO key_calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
