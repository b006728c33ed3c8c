"""docs/openapi.json against the built program.

    openapi.py PROGRAM

The document is valid OpenAPI 3.1; each example is answered as it says, in both encodings; and schemathesis,
which makes requests of its own from the document, finds no answer that it does not describe.
"""

import copy
import json
import os
import pathlib
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

import jsonschema
import msgpack
import openapi_spec_validator

from larder import TOKEN, Larder
from schemathesis_hooks import as_json

HERE = pathlib.Path(__file__).parent
PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/larder").resolve()
DOCUMENT = HERE.parents[1] / "docs" / "openapi.json"
JSON, MSGPACK = "application/json", "application/msgpack"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def closed(schema):
    """The same schema, but objects may have no other fields than those that it names."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {name: closed(inner) for name, inner in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        schema.setdefault("additionalProperties", False)
    return schema


class Document:
    """The document, with its references followed."""

    def __init__(self):
        self.whole = json.loads(DOCUMENT.read_text())
        self.components = closed(self.whole["components"])

    def follow(self, node):
        while "$ref" in node:
            target = self.whole
            for name in node["$ref"].removeprefix("#/").split("/"):
                target = target[name]
            node = target
        return node

    def operations(self):
        """Path, method and operation of each, in the document's order."""
        for path, item in self.whole["paths"].items():
            for method in filter(METHODS.__contains__, item):
                operation = copy.deepcopy(item[method])
                own = operation.get("parameters", [])
                operation["parameters"] = [
                    self.follow(parameter) for parameter in item.get("parameters", []) + own
                ]
                yield path, method, operation

    def check(self, value, schema):
        schema = {**closed(schema), "components": self.components}
        jsonschema.Draft202012Validator(schema).validate(value)

    def check_headers(self, headers, response):
        for name, header in response.get("headers", {}).items():
            header, value = self.follow(header), headers.get(name)
            assert value is not None or not header.get("required"), f"no {name}"
            if value is not None:
                number = self.follow(header["schema"]).get("type") == "integer"
                self.check(int(value) if number else value, header["schema"])

    def check_answer(self, operation, status, headers, body):
        """An answer to an operation: its status, its headers and its body are described."""
        response = self.follow(operation["responses"][str(status)])
        self.check_headers(headers, response)
        content = response.get("content", {})
        if not content:
            assert not body, body
            return None
        media = next(kind for kind in content if kind == headers["content-type"])
        if media == JSON:
            value = json.loads(body)
        elif media == MSGPACK:
            value = as_json(msgpack.unpackb(body))
        else:
            return None
        self.check(value, content[media]["schema"])
        return value


def ask(url, method, headers, body):
    request = urllib.request.Request(url, body, headers, method=method.upper())
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers, answer.read()


class Described(unittest.TestCase):
    def setUp(self):
        self.document = Document()
        self.larder = Larder(PROGRAM)
        self.url = self.larder.start()

    def tearDown(self):
        assert self.larder.stop() == 0

    def test_the_document_is_openapi_3_1(self):
        self.assertEqual(self.document.whole["openapi"], "3.1.0")
        openapi_spec_validator.validate(
            self.document.whole, cls=openapi_spec_validator.OpenAPIV31SpecValidator
        )

    def each_example_in(self, media, pack):
        """Sends each example of a request; its answer fits its schema, and is the example of its name."""
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": media, "accept": media}
        examples = 0
        for path, method, operation in self.document.operations():
            content = operation.get("requestBody", {}).get("content", {})
            if media not in content:
                continue
            for name, example in content[JSON].get("examples", {}).items():
                with self.subTest(path=path, example=name):
                    answer = ask(self.url + path, method, headers, pack(example["value"]))
                    value = self.document.check_answer(operation, *answer)
                    described = self.document.follow(operation["responses"][str(answer[0])])
                    described = described["content"][JSON]
                    wanted = described["examples"][name]["value"]
                    self.document.check(wanted, described["schema"])
                    self.assertEqual(shown(value), shown(wanted))
                    examples += 1
        self.assertGreater(examples, 20)

    def test_each_example_is_answered_as_described_in_json(self):
        self.each_example_in(JSON, lambda value: json.dumps(value).encode())

    def test_each_example_is_answered_as_described_in_messagepack(self):
        self.each_example_in(MSGPACK, msgpack.packb)

    def test_each_parameter_has_an_example_that_is_answered(self):
        for path, method, operation in self.document.operations():
            if "requestBody" in operation and JSON in operation["requestBody"]["content"]:
                continue
            for parameter in operation["parameters"]:
                if parameter["in"] == "path":
                    path = path.replace("{%s}" % parameter["name"], parameter["example"])
            body = b"hello" if method == "put" else None
            headers = {"authorization": f"Bearer {TOKEN}"}
            with self.subTest(path=path, method=method):
                self.document.check_answer(operation, *ask(self.url + path, method, headers, body))

    def walk(self, headers=(), flags=(), variables=None):
        """Has schemathesis walk the document. It prints what it finds."""
        program = pathlib.Path(sys.executable).with_name("schemathesis")
        command = [program, "--config-file", HERE / "schemathesis.toml", "run", DOCUMENT]
        command += ["--url", self.url, "--warnings", "off", *flags]
        for name, value in headers:
            command += ["--header", f"{name}: {value}"]
        hooks = {"PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "schemathesis_hooks"}
        environment = {**os.environ, **hooks, **(variables or {})}
        # Where it may leave files.
        where = self.larder.directory.name
        ran = subprocess.run(command, cwd=where, env=environment)
        self.assertEqual(ran.returncode, 0)

    def test_a_walk_with_a_token_finds_nothing_that_is_not_described(self):
        self.walk([("authorization", f"Bearer {TOKEN}")])

    def test_a_walk_that_asks_for_messagepack_finds_nothing_either(self):
        headers = [("authorization", f"Bearer {TOKEN}"), ("accept", MSGPACK)]
        self.walk(headers)

    def test_a_walk_without_a_token_is_refused_everywhere(self):
        checks = "asks_for_a_token,status_code_conformance,response_headers_conformance"
        self.walk(flags=["--checks", checks], variables={"LARDER_WITHOUT_TOKEN": "1"})


def shown(value):
    """An answer as examples show it: instants and what is secret are others each time."""
    if isinstance(value, dict):
        return {
            name: "differs" if name in ("id", "token", "created", "updated") else shown(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [shown(inner) for inner in value]
    return "an instant" if isinstance(value, int) and value > 1_700_000_000_000 else value


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
