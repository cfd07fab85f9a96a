"""Logs in as the user of this run and keeps the run from destroying its own accounts."""

import os
import uuid

import requests
import schemathesis

BASE_URL = os.environ["SOVD_BASE_URL"]
USERNAME = os.environ.get("SOVD_USERNAME")
PASSWORD = os.environ.get("SOVD_PASSWORD")

# The users of the seeds. An admin that deletes or disables them would end the run.
SEEDED_USERS = {f"00000000-0000-0000-0000-{number:012}" for number in range(1, 6)}


class Login:
    """A token of the user. Schemathesis asks for another one after each 401: logging out and ending
    sessions is part of what it tries."""

    def get(self, case, context):
        response = requests.post(
            f"{BASE_URL}/api/v1/auth/login",
            json={"username": USERNAME, "password": PASSWORD},
            timeout=10,
        )
        response.raise_for_status()
        return response.json()["access_token"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


if USERNAME:
    schemathesis.auth()(Login)


@schemathesis.hook
def before_call(context, case, kwargs):
    parameters = case.path_parameters or {}
    if parameters.get("user_id") in SEEDED_USERS and case.method != "GET":
        parameters["user_id"] = str(uuid.UUID(int=0xFFFF))
