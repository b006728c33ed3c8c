"""What schemathesis has to know of this server: MessagePack, and that without a token nothing is answered."""

import os

import msgpack
import schemathesis

WITHOUT_TOKEN = os.environ.get("LARDER_WITHOUT_TOKEN") == "1"


def as_json(value):
    """A document of MessagePack as the schemas describe it: bytes are arrays of numbers there."""
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, dict):
        return {name: as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    return value


def of_large(number):
    """A number of more than 64 bits, which MessagePack has not: no whole number either way."""
    return float(number)


@schemathesis.serializer("application/msgpack")
def to_msgpack(context, value):
    return value if isinstance(value, bytes) else msgpack.packb(value, default=of_large)


@schemathesis.deserializer("application/msgpack")
def of_msgpack(context, response):
    return as_json(msgpack.unpackb(response.content))


if WITHOUT_TOKEN:

    @schemathesis.check
    def asks_for_a_token(context, response, case):
        security = case.operation.definition.raw.get("security", [{"bearer": []}])
        needed = security and {} not in security
        if needed and response.status_code != 401:
            raise AssertionError(f"answered {response.status_code} without a token")
