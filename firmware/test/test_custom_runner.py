"""Lines of a test program -> PlatformIO's test cases: `name:PASS` or `name:FAIL`, then `DONE`."""

from __future__ import annotations

import re

import click
from platformio.public import TestCase, TestRunnerBase, TestStatus


class CustomTestRunner(TestRunnerBase):
    """PlatformIO finds it by its file's name, for test_framework = custom."""

    LINE = re.compile(r"^(?P<name>\w+):(?P<status>PASS|FAIL)$")

    def on_testing_line_output(self, line: str) -> None:
        """One line of the program's."""
        line = line.strip()
        if found := self.LINE.match(line):
            case = TestCase(name=found["name"], status=TestStatus.from_string(found["status"]))
            self.test_suite.add_case(case)
            click.echo(case.humanize())
        elif line == "DONE":
            self.test_suite.on_finish()
