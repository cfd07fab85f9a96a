"""Logs in as the user of this run and protects the seeded accounts."""

import os
import uuid

import requests
import schemathesis

BASE_URL = os.environ["SOVD_BASE_URL"]
USERNAME = os.environ.get("SOVD_USERNAME")
PASSWORD = os.environ.get("SOVD_PASSWORD")

# The seeded users. Deleting or disabling them would end the run.
SEEDED_USERS = {f"00000000-0000-0000-0000-{number:012}" for number in range(1, 6)}


class Login:
    """Provides access tokens. Schemathesis requests a new one after each 401, because it also tests
    operations that end sessions."""

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
