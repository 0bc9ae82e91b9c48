"""What a host says is text, and nothing but text."""

from bannock.execution.job import Outcome, Record

_HOSTILE = "ok\x1b]0;title\x07\x1b[2J\r\u202e\tend\nline"


def test_control_characters_are_taken_out() -> None:
    """Neither a log nor an error of a host can steer a terminal."""
    outcome = Outcome(exit_code=1, record=Record(error=(_HOSTILE,)), log=_HOSTILE, output=None)
    for text in (outcome.log, *outcome.record.error):
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
        assert text.endswith("\tend\nline")
