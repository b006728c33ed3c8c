"""A running server for the tests in Python."""

import os
import subprocess
import tempfile

TOKEN = "test-token-0123456789"


class Larder:
    """One running server with data of its own."""

    def __init__(self, program):
        self.program = program
        self.directory = tempfile.TemporaryDirectory()
        self.process = None

    def start(self):
        variables = {k: v for k, v in os.environ.items() if not k.startswith("LARDER_")}
        self.process = subprocess.Popen(
            [self.program, "serve", "--listen", "127.0.0.1:0", "--data", "data"],
            cwd=self.directory.name,
            env={**variables, "LARDER_ADMIN_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), line
        return line.split()[-1]

    def stop(self):
        self.process.terminate()
        code = self.process.wait(30)
        self.process.stdout.close()
        self.directory.cleanup()
        return code
