"""Sends writes that are refused before their body is read, each followed by a good call on the same client.

Usage: refused_writes.py CLIENT URL, where CLIENT is requests, httpx or aiohttp. TOKEN and READ_ONLY_TOKEN are in the
environment. Prints what went wrong, by kind, and exits with 1 if anything did.
"""

import asyncio
import collections
import os
import sys

ROUNDS = 150
SIZES = [20_000, 60_000, 500_000]
GOOD = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
JSON = {"Content-Type": "application/json"}
PRODUCT = b'{"name":"x","unitPrice":1,"currency":"EUR"}'


def refusals(size):
    """Headers of a write and the status that is right for it."""
    kinds = [
        ({"Authorization": "Bearer pk_live_bad", **JSON}, 401),
        ({"Authorization": f"Bearer {os.environ['READ_ONLY_TOKEN']}", **JSON}, 403),
        ({**GOOD, "Content-Type": "text/plain"}, 415),
    ]
    if size > 65_536:
        kinds.append(({**GOOD, **JSON}, 413))
    return kinds


async def run(send, url):
    """Calls `send(method, url, headers, body)`, which returns a status, and counts what is not as it should be."""
    wrong = collections.Counter()

    async def expect(status, what, *call):
        try:
            seen = await send(*call)
        except Exception as error:  # each client has its own classes
            seen = type(error).__name__
        if seen != status:
            wrong[f"{what}: {seen} instead of {status}"] += 1

    for size in SIZES:
        body = b"x" * size
        for n in range(ROUNDS):
            headers, status = refusals(size)[n % len(refusals(size))]
            await expect(status, f"a write of {size} bytes", "POST", f"{url}/api/v1/products", headers, body)
            what = f"the call after {size} bytes"
            # Clients repeat a GET on a new connection by themselves, but not a POST.
            if n % 2 == 0:
                await expect(200, what, "GET", f"{url}/api/v1/key", GOOD, None)
            else:
                await expect(201, what, "POST", f"{url}/api/v1/products", {**GOOD, **JSON}, PRODUCT)
    return wrong


async def with_requests(url):
    import requests

    session = requests.Session()

    async def send(method, url, headers, body):
        return session.request(method, url, headers=headers, data=body, timeout=10).status_code

    return await run(send, url)


async def with_httpx(url):
    import httpx

    with httpx.Client(timeout=10) as client:

        async def send(method, url, headers, body):
            return client.request(method, url, headers=headers, content=body).status_code

        return await run(send, url)


async def with_aiohttp(url):
    import aiohttp

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:

        async def send(method, url, headers, body):
            async with session.request(method, url, headers=headers, data=body) as answer:
                await answer.read()
                return answer.status

        return await run(send, url)


CLIENTS = {"requests": with_requests, "httpx": with_httpx, "aiohttp": with_aiohttp}
wrong = asyncio.run(CLIENTS[sys.argv[1]](sys.argv[2]))
for what, count in sorted(wrong.items()):
    print(f"{count} x {what}")
sys.exit(1 if wrong else 0)
