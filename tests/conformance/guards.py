"""A source that is guarded by libraries that are not ours: Authlib's OAuth 2 server, and botocore's signatures.

python guards.py PORT PUBLIC_KEY_FILE
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc7523 import JWTBearerGrant
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from flask import Flask, jsonify, request

#: The only client: by name and password, or by a key of which the public half is known.
CLIENT_ID, CLIENT_SECRET = "mill", "wheel & race"
#: The key of the signatures.
ACCESS_KEY = Credentials("AKIAMILL", "race/and+wheel", "session=token")
FIRST_REFRESH_TOKEN = "first-refresh-token"
#: How many items an access token opens before it ends.
USES = 4

app = Flask(__name__)
port, public_key = int(sys.argv[1]), Path(sys.argv[2]).read_text()
#: Access tokens, and how often each may still be used.
opens: dict[str, int] = {}
#: Refresh tokens, and whether each is still good.
refreshes = {FIRST_REFRESH_TOKEN: True}
seen = {"grants": 0, "thefts": 0}


class Client(ClientMixin):
    """The client."""

    def get_client_id(self) -> str:
        return CLIENT_ID

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, _: str) -> bool:
        return False

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, _: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, _: str) -> bool:
        return False

    def check_grant_type(self, _: str) -> bool:
        return True


class Assertion(JWTBearerGrant):
    """A token for an assertion that the client's private key has signed."""

    def get_audiences(self) -> list[str]:
        return [f"http://127.0.0.1:{port}/token"]

    def resolve_issuer_client(self, issuer: str) -> Client | None:
        return Client() if issuer == "mill@example.com" else None

    def resolve_client_public_key(self, _: Client) -> str:
        return public_key

    def authenticate_user(self, subject: str) -> str | None:
        return subject if subject == "ann@example.com" else None

    def has_granted_permission(self, *_: Any) -> bool:
        return True


class Held:
    """A refresh token that was shown."""

    def __init__(self, token: str) -> None:
        self.token = token

    def check_client(self, _: Client) -> bool:
        return True

    def get_scope(self) -> str:
        return ""


class Refresh(grants.RefreshTokenGrant):
    """A token for a refresh token that is good for one use; whoever shows one again ends them all."""

    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Held | None:
        if refreshes.get(refresh_token):
            return Held(refresh_token)
        if refresh_token in refreshes:
            seen["thefts"] += 1
            refreshes.clear()
        return None

    def authenticate_user(self, _: Held) -> str:
        return "ann@example.com"

    def revoke_old_credential(self, refresh_token: Held) -> None:
        refreshes[refresh_token.token] = False


def save(token: dict[str, Any], _: Any) -> None:
    """Keeps a token that was given."""
    seen["grants"] += 1
    opens.clear()
    opens[token["access_token"]] = USES
    if new := token.get("refresh_token"):
        refreshes[new] = True


app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server = AuthorizationServer(app, query_client=lambda name: Client() if name == CLIENT_ID else None, save_token=save)
server.register_grant(Assertion)
server.register_grant(Refresh)


@app.post("/token")
def token() -> Any:
    return server.create_token_response()


@app.get("/seen")
def told() -> Any:
    return jsonify(seen)


@app.get("/items")
def items() -> Any:
    presented = request.headers.get("authorization", "").removeprefix("Bearer ")
    if opens.get(presented, 0) == 0:
        return jsonify(error="invalid_token"), 401
    opens[presented] -= 1
    return page()


@app.get("/signed/<path:name>")
def signed(name: str) -> Any:
    """The same for whoever signs the request as botocore does."""
    shown = request.headers.get("authorization", "")
    time = request.headers.get("x-amz-date", "")
    # As it was sent, and not as Flask decodes it.
    url = request.host_url.rstrip("/") + request.environ["RAW_URI"]
    mine = AWSRequest(method="GET", url=url, headers={"x-amz-date": time})
    mine.headers["X-Amz-Security-Token"] = ACCESS_KEY.token
    mine.context["timestamp"] = time
    signer = SigV4Auth(ACCESS_KEY, "execute-api", "eu-central-1")
    text = signer.string_to_sign(mine, signer.canonical_request(mine))
    if shown.rsplit("Signature=")[-1] != signer.signature(text, mine):
        return jsonify(error="SignatureDoesNotMatch", canonical=signer.canonical_request(mine), path=name), 403
    return page()


def page() -> Any:
    offset, limit = int(request.args.get("offset", 0)), int(request.args.get("limit", 5))
    return jsonify(items=[{"id": number} for number in range(30)[offset : offset + limit]])


app.run(host="127.0.0.1", port=port)
