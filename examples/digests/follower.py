"""Follows Keyhouse's feed of digests and keeps a map for nginx up to date: follower.py URL MAP RELOAD-COMMAND...

The feed's secret is in the file that KEYHOUSE_FEED_SECRET_FILE names. The map lists the tokens that admit calls. If the feed
has not confirmed it for 5 seconds, the map is emptied: nginx then refuses every key rather than one that may be revoked.
"""
import http.client, json, os, subprocess, sys, time
from datetime import datetime, timezone

URL, MAP, RELOAD, SILENCE = sys.argv[1], sys.argv[2], sys.argv[3:], 5
tokens, written, confirmed = {}, None, 0


def write(current):
    global written
    now, text = datetime.now(timezone.utc).isoformat(), ""
    for token in sorted(current.values(), key=lambda token: token["digest"]):
        # nginx's map can't compare addresses, so a key that is limited to some is refused.
        if token["active"] and not token["addresses"] and (token["notBefore"] or "") <= now < (token["expiresAt"] or "9"):
            text += '"{digest}" "{team} {id} {mode} {scope}";\n'.format(**token)
    if text != written:
        with open(MAP + ".new", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(text)
        os.replace(MAP + ".new", MAP)
        subprocess.run(RELOAD, check=True)
        written = text


def follow(last):
    """Reads the feed after the event `last` until it breaks off; returns the last event."""
    global confirmed
    with open(os.environ["KEYHOUSE_FEED_SECRET_FILE"]) as file:
        headers = {"Authorization": "Bearer " + file.read().strip(), "Last-Event-ID": last}
    kind, feed = "", http.client.HTTPConnection(URL.removeprefix("http://"), timeout=SILENCE)
    try:
        feed.request("GET", "/feed/keys", headers={name: value for name, value in headers.items() if value})
        response = feed.getresponse()
        while response.status == 200 and (line := response.readline().decode()):
            name, _, value = line.strip().partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                last = value
            elif name == "data" and kind == "reset":
                tokens.clear()
            elif name == "data" and kind == "key":
                tokens[json.loads(value)["digest"]] = json.loads(value)
            elif name == "data" and kind == "alive":
                confirmed = time.monotonic()
                write(tokens)
    except (OSError, http.client.HTTPException) as error:
        print("the feed broke off:", error, file=sys.stderr)
    return last


last = ""
while True:
    last = follow(last)
    if time.monotonic() - confirmed >= SILENCE:
        write({})
    time.sleep(0.5)
