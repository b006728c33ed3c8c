"""The official Python client, unchanged, against the built program.

    official_client.py PROGRAM

Walks every operation, every behavior, conditional writes, ttl, namespaces, large values and typed
errors, with the plain and the async client, and has 64 tasks keep one counter by compare-and-set.

Client 0.2.6 cannot pack its own enums, so that `behavior` and `consistency` fail before anything is
sent; they go as plain text through the client's own request method here. It also drops the days
of a ttl, so the ttls here are shorter than one.
"""

import asyncio
import os
import pathlib
import subprocess
import sys
import time
import unittest
from datetime import datetime, timedelta

from diom import Diom, DiomAsync, DiomOptions
from diom import ConnError, InvalidInputError, OperationError, ServerError
from diom.models import (
    KvConfigureNamespaceIn,
    KvDeleteIn,
    KvGetIn,
    KvGetNamespaceIn,
    KvGetOut,
    KvSetIn,
    KvSetOut,
)

from larder import TOKEN, Larder

PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/larder").resolve()
TASKS = 64
INCREMENTS = 3


class OfficialClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.larder = Larder(PROGRAM)
        cls.url = cls.larder.start()
        cls.options = DiomOptions(server_url=cls.url)
        cls.client = Diom(TOKEN, cls.options)
        cls.kv = cls.client.kv

    @classmethod
    def tearDownClass(cls):
        assert cls.larder.stop() == 0

    def set_plainly(self, **body):
        return self.kv._request_sync(
            method="post", path="/api/v1.kv.set", body=body, response_type=KvSetOut
        )

    def assert_refused(self, error, code, location, function, *arguments):
        with self.assertRaises(error) as raised:
            function(*arguments)
        self.assertEqual(raised.exception.code, code)
        self.assertEqual(raised.exception.location, location)
        self.assertTrue(raised.exception.detail)

    def test_set_get_and_delete(self):
        absent = self.kv.get("key")
        self.assertEqual((absent.value, absent.version, absent.expiry), (None, 0, None))
        version = self.kv.set("key", b"\x00\xffone").version
        entry = self.kv.get("key")
        self.assertEqual((entry.value, entry.version), (b"\x00\xffone", version))
        self.assertTrue(self.kv.delete("key").success)
        self.assertFalse(self.kv.delete("key").success)
        self.assertIsNone(self.kv.get("key").value)

    def test_behaviors(self):
        def conflicts(behavior):
            arguments = {"key": "behaving", "value": b"x", "behavior": behavior}
            with self.assertRaises(OperationError) as raised:
                self.set_plainly(**arguments)
            self.assertEqual(raised.exception.code, "conflict")

        conflicts("update")
        self.set_plainly(key="behaving", value=b"1", behavior="insert")
        conflicts("insert")
        self.set_plainly(key="behaving", value=b"2", behavior="update")
        self.set_plainly(key="behaving", value=b"3", behavior="upsert")
        self.assertEqual(self.kv.get("behaving").value, b"3")

    def test_consistencies(self):
        version = self.kv.set("consistent", b"v").version
        for consistency in ("strong", "weak"):
            entry = self.kv._request_sync(
                method="post",
                path="/api/v1.kv.get",
                body={"key": "consistent", "consistency": consistency},
                response_type=KvGetOut,
            )
            self.assertEqual(entry.version, version)

    def test_conditional_writes(self):
        def conflicts(function, *arguments):
            self.assert_refused(OperationError, "conflict", None, function, *arguments)

        conflicts(self.kv.set, "occ", b"1", KvSetIn(version=7))
        first = self.kv.set("occ", b"1", KvSetIn(version=0)).version
        conflicts(self.kv.set, "occ", b"2", KvSetIn(version=0))
        second = self.kv.set("occ", b"2", KvSetIn(version=first)).version
        self.assertGreater(second, first)
        conflicts(self.kv.set, "occ", b"3", KvSetIn(version=first))
        conflicts(self.kv.delete, "occ", KvDeleteIn(version=first))
        self.assertTrue(self.kv.delete("occ", KvDeleteIn(version=second)).success)
        conflicts(self.kv.delete, "occ", KvDeleteIn(version=second))
        self.assertFalse(self.kv.delete("occ", KvDeleteIn(version=0)).success)
        self.assertGreater(self.kv.set("occ", b"4", KvSetIn(version=0)).version, second)

    def test_ttl(self):
        before = datetime.now()
        self.kv.set("ttl", b"v", KvSetIn(ttl=timedelta(hours=1)))
        expiry = self.kv.get("ttl").expiry
        hour = timedelta(hours=1)
        slack = timedelta(seconds=10)
        self.assertTrue(before + hour - slack < expiry < datetime.now() + hour + slack)
        self.kv.set("ttl", b"v")
        self.assertIsNone(self.kv.get("ttl").expiry)
        self.kv.set("ttl", b"v", KvSetIn(ttl=timedelta(milliseconds=20)))
        deadline = time.monotonic() + 30
        while self.kv.get("ttl").version != 0:
            self.assertLess(time.monotonic(), deadline)

    def test_namespaces(self):
        name = "python/names"
        inside = KvSetIn(namespace=name)
        self.assert_refused(OperationError, "not-found", None, self.kv.set, "n", b"1", inside)
        namespace = self.kv.namespace
        missing = KvGetNamespaceIn(name=name)
        self.assert_refused(OperationError, "not-found", None, namespace.get, missing)
        made = namespace.configure(KvConfigureNamespaceIn(name=name))
        found = namespace.get(KvGetNamespaceIn(name=name))
        self.assertEqual((made.name, made.created), (found.name, found.created))
        again = namespace.configure(KvConfigureNamespaceIn(name=name))
        self.assertEqual(again.created, made.created)
        self.kv.set("n", b"inside", inside)
        self.assertIsNone(self.kv.get("n").value)
        self.assertEqual(self.kv.get("n", KvGetIn(namespace=name)).value, b"inside")
        self.assertTrue(self.kv.delete("n", KvDeleteIn(namespace=name)).success)
        code = "no-explicit-default-namespace"
        default = KvSetIn(namespace="default")
        self.assert_refused(OperationError, code, None, self.kv.set, "n", b"1", default)

    def test_a_value_of_1_mib(self):
        value = os.urandom(1 << 20)
        self.kv.set("large", value)
        self.assertEqual(self.kv.get("large").value, value)
        self.kv.set("empty", b"")
        self.assertEqual(self.kv.get("empty").value, b"")

    def test_typed_errors(self):
        self.assert_refused(InvalidInputError, "invalid-data", "key", self.kv.set, "a b", b"")
        long = KvSetIn(version=-1)
        self.assert_refused(InvalidInputError, "invalid-data", "version", self.kv.set, "k", b"", long)
        too_large = b"x" * (9 << 20)
        self.assert_refused(
            InvalidInputError, "payload-too-large", None, self.kv.set, "k", too_large
        )
        stranger = Diom("wrong", self.options).kv
        self.assert_refused(OperationError, "invalid-token", None, stranger.get, "k")
        self.assert_refused(ServerError, "internal-error", None, self.client.health.error)
        nobody = Diom(TOKEN, DiomOptions(server_url="http://127.0.0.1:9")).kv
        with self.assertRaises(ConnError):
            nobody.get("k")

    def test_health(self):
        self.assertTrue(self.client.health.ping().ok)
        self.assertTrue(self.client.health.ready().ok)

    def test_the_readme_s_lines(self):
        readme = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
        block = next(part for part in readme.split("```") if part.startswith("python\n"))
        lines = block.removeprefix("python\n").replace("http://127.0.0.1:8624", self.url)
        data = pathlib.Path(self.larder.directory.name, "data")
        (data / "admin-token").write_text(TOKEN)
        ran = subprocess.run(
            [sys.executable, "-c", lines], cwd=data.parent, capture_output=True, text=True
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("value=b'hello'", ran.stdout)
        self.assertTrue(ran.stdout.endswith("conflict version mismatch\nTrue\n"), ran.stdout)

    def test_64_tasks_keep_one_counter(self):
        async def increment(kv):
            for _ in range(INCREMENTS):
                while True:
                    entry = await kv.get("counter")
                    count = int(entry.value or b"0") + 1
                    try:
                        await kv.set("counter", b"%d" % count, KvSetIn(version=entry.version))
                        break
                    except OperationError as error:
                        self.assertEqual(error.code, "conflict")

        async def all_tasks():
            kv = DiomAsync(TOKEN, self.options).kv
            await asyncio.gather(*(increment(kv) for _ in range(TASKS)))

        asyncio.run(all_tasks())
        self.assertEqual(self.kv.get("counter").value, b"%d" % (TASKS * INCREMENTS))


if __name__ == "__main__":
    # The client never closes its sockets; that is not what is tested here.
    unittest.main(argv=sys.argv[:1], warnings="ignore", verbosity=2)
