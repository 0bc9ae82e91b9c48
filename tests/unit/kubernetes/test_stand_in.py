"""What stands in for kubectl: JSONPath, selectors, durations, and changes of objects."""

from __future__ import annotations

from typing import Any

import pytest

from bannock.cli.kubectl_options import labels_of, named, seconds_of
from bannock.errors import InputError, NotFoundError
from bannock.kubernetes.stand_in.changes import restarted, scaled, with_images, with_variables
from bannock.kubernetes.stand_in.jsonpath import evaluate

_PODS = {
    "items": [
        {"metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}}, "ready": True},
        {"metadata": {"name": "b"}},
    ]
}
_CONTAINER = {"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}
_DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {
        "template": {"spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}]}}
    },
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "b"),
        ("{.items[*].metadata.name}", "a b"),
        (".items[0].metadata.name", "a"),
        ("{$.items[0].ready}", "true"),
        ('{.items[0].metadata.name}{"\\n"}', "a\n"),
        (r"{.items[0].metadata.labels.app\.kubernetes\.io/name}", "x"),
        ("{.items[0].metadata.labels['app.kubernetes.io/name']}!", "x!"),
        ("{.items[7].metadata.name}", ""),
        ("{.nothing.here}", ""),
    ],
)
def test_paths(template: str, expected: str) -> None:
    """Those that scripts ask for; what is not there is empty."""
    assert evaluate(template, _PODS) == expected


@pytest.mark.parametrize("template", ["{.items[?(@.ready)].name}", "{range .items[*]}", "{.items[0:2]}"])
def test_paths_that_are_not_understood(template: str) -> None:
    """They are errors, and nothing is guessed."""
    with pytest.raises(InputError, match="is not understood at"):
        evaluate(template, _PODS)


def _environment(document: Any) -> Any:
    return document["spec"]["template"]["spec"]["containers"][0]["env"]


def test_changes() -> None:
    """Each makes a new object and leaves the old one as it is."""
    assert _environment(with_variables(_DEPLOYMENT, ["B=2", "A-"], None)) == [{"name": "B", "value": "2"}]
    assert _environment(with_variables(_DEPLOYMENT, ["A=x=y"], "c")) == [{"name": "A", "value": "x=y"}]
    assert with_images(_DEPLOYMENT, ["c=j:2"])["spec"]["template"]["spec"]["containers"][0]["image"] == "j:2"
    assert scaled(_DEPLOYMENT, 3)["spec"]["replicas"] == 3
    made = restarted(_DEPLOYMENT, "now")["spec"]["template"]["metadata"]["annotations"]
    assert made == {"kubectl.kubernetes.io/restartedAt": "now"}
    assert _environment(_DEPLOYMENT) == [{"name": "A", "value": "1"}]
    with pytest.raises(NotFoundError, match="there is no container 'x'"):
        with_variables(_DEPLOYMENT, ["A=1"], "x")
    with pytest.raises(InputError, match="NAME=VALUE"):
        with_variables(_DEPLOYMENT, ["A"], None)


def test_words_that_name_objects() -> None:
    """In all ways of kubectl."""
    assert named(["deployment", "a", "b"]) == [("Deployment", "a"), ("Deployment", "b")]
    assert named(["deploy/a", "pod/b"]) == [("Deployment", "a"), ("Pod", "b")]
    assert named(["statefulset.apps/a"]) == [("StatefulSet", "a")]
    for words in ([], ["pods"], ["gadget", "a"]):
        with pytest.raises(InputError):
            named(words)


def test_selectors_and_durations() -> None:
    """As kubectl writes them; more than that is an error."""
    assert labels_of("a=b,c==d") == {"a": "b", "c": "d"}
    assert labels_of(None) == {}
    with pytest.raises(InputError, match="a selector is"):
        labels_of("a in (b)")
    assert [seconds_of(text) for text in ("90s", "5m", "1h2m3s", "7")] == [90, 300, 3723, 7]
    for text in ("", "soon", "-1s"):
        with pytest.raises(InputError, match="a duration is"):
            seconds_of(text)
