#!/usr/bin/env python3
"""Read the trouble codes of a connected vehicle and follow the responses.

Needs Python 3.9 or later and nothing but its standard library:

    client.py http://127.0.0.1:8080 engineer engineer123

Exits with 0 if the command completes, and with 1 otherwise.
"""

import argparse
import http.client
import json
import sys
import time
import urllib.error
import urllib.request
import uuid

# By default, the server sends a comment after 15 seconds of silence. So this one means a lost connection.
TIMEOUT_SECONDS = 60
MAX_RECONNECTS = 10


class Client:
    """An authenticated client of one server."""

    def __init__(self, base_url, username, password):
        self.base_url = base_url.rstrip("/")
        self.headers = {}
        tokens = self.post(
            "/api/v1/auth/login", {"username": username, "password": password}
        )
        self.headers["Authorization"] = "Bearer " + tokens["access_token"]

    def get(self, path):
        with self._open(path) as response:
            return json.load(response)

    def post(self, path, body, headers=None):
        headers = {"Content-Type": "application/json", **(headers or {})}
        with self._open(path, json.dumps(body).encode(), headers) as response:
            return json.load(response)

    def follow(self, command_id):
        """Yield the events of a command up to the terminal one.

        The server closes the stream after the terminal event. If it ends earlier, this method
        reconnects and continues after the last response that it received.
        """
        path = f"/api/v1/commands/{command_id}/events"
        last_event_id = None
        retry_seconds = 1.0
        for _ in range(MAX_RECONNECTS + 1):
            headers = {"Accept": "text/event-stream"}
            if last_event_id is not None:
                headers["Last-Event-ID"] = last_event_id
            try:
                with self._open(path, headers=headers) as stream:
                    for fields in read_fields(stream):
                        if "retry" in fields:
                            retry_seconds = int(fields["retry"]) / 1000
                        last_event_id = fields.get("id", last_event_id)
                        if "data" in fields:
                            event = json.loads(fields["data"])
                            yield event
                            if is_terminal(event):
                                return
                reason = "the stream ended"
            except urllib.error.HTTPError as error:
                # Retry only if the server asks for it.
                if error.code not in (429, 503):
                    raise
                reason = describe(error)
            except (OSError, http.client.HTTPException) as error:
                reason = describe(error)
            print(f"reconnecting: {reason}", file=sys.stderr)
            time.sleep(retry_seconds)
        raise TimeoutError(f"no terminal event after {MAX_RECONNECTS} reconnects")

    def _open(self, path, body=None, headers=None):
        request = urllib.request.Request(
            self.base_url + path, data=body, headers={**self.headers, **(headers or {})}
        )
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)


def read_fields(stream):
    """Yield the fields of each complete block of Server-Sent Events.

    The server sends each event in one `data` line, so blocks need not be joined.
    """
    fields = {}
    for line in stream:
        line = line.decode().rstrip("\r\n")
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            yield fields
            fields = {}


def is_terminal(event):
    return event["event"] != "response" and event["status"] in ("completed", "failed")


def describe(error):
    """Return the problem details (RFC 9457) of a response, or the message of another error."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error} {error.read().decode(errors='replace')}"
    return str(error)


def run(arguments):
    client = Client(arguments.url, arguments.username, arguments.password)
    vehicles = client.get("/api/v1/vehicles?status=connected")
    if not vehicles:
        raise LookupError("no vehicle is connected")
    vehicle = vehicles[0]
    print(f"vehicle {vehicle['vin']}")

    command = client.post(
        "/api/v1/commands",
        {
            "vehicle_id": vehicle["vehicle_id"],
            "command_name": "ReadDTC",
            "command_params": {"ecuAddress": "0x10"},
        },
        # The same key makes a repetition of this request harmless.
        {"Idempotency-Key": str(uuid.uuid4())},
    )
    print(f"command {command['command_id']}")
    status = None
    for event in client.follow(command["command_id"]):
        if event["event"] == "response":
            codes = " ".join(dtc["code"] for dtc in event["response"]["dtcs"])
            print(f"response {event['sequence_number']}: {codes}")
        else:
            status = event["status"]
            print(f"status {status}")
    return 0 if status == "completed" else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="base URL, for example http://127.0.0.1:8080")
    parser.add_argument("username")
    parser.add_argument("password")
    try:
        return run(parser.parse_args())
    except (OSError, LookupError, ValueError, http.client.HTTPException) as error:
        print(f"client.py: {describe(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
