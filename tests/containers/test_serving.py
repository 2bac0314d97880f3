"""The serving base with small predictors, in this process."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.containers import serving
from penstock.containers.serving import Answer, Application, Settings, chosen, media_type
from penstock.errors import InputError


class Echo:
    """Gives back what it reads."""

    reads = ("text/csv",)
    gives = ("text/csv", "application/json")

    def about(self):
        return ()

    def answer(self, body, content, accept):
        if body == b"bug":
            raise ZeroDivisionError(body.decode())
        return Answer(body=body + accept.encode(), rows=1)


def ask(application, method="POST", path="/invocations", body=b"", **headers):
    """Return status, headers and body of one request."""
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "text/csv",
        "wsgi.input": io.BytesIO(body),
        **headers,
    }
    seen = []
    content = b"".join(application(environ, lambda *head: seen.append(head)))
    ((status, found),) = seen
    return int(status.split()[0]), dict(found), content


@pytest.fixture
def settings():
    return Settings(model_dir=Path("model"))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "a/b"),
        ("*/*", "a/b"),
        ("c/d", "c/d"),
        ("C/D ; q=1", "c/d"),
        ("a/*;q=0.2, c/d;q=0.1", "a/b"),
        ("*/*;q=0.1, a/b;q=0", "c/d"),
        ("c/d, a/b", "c/d"),
        ("a/b;q=0.5, c/d", "c/d"),
        ("x/y", None),
        ("a/b;q=2", None),
        ("csv", None),
        ('c/d;note="x, y", a/b;q=0.1', "c/d"),
    ],
)
def test_the_best_liked_format_is_chosen(accept, expected):
    assert chosen(accept, ("a/b", "c/d"), "a/b") == expected


@given(st.text(max_size=40))
def test_any_text_is_a_header_that_can_be_looked_at(header):
    found = media_type(header)

    assert found is None or found.name.count("/") == 1
    assert chosen(header, ("a/b",), "a/b") in (None, "a/b")


def test_a_model_that_is_being_loaded_is_unavailable(settings):
    application = Application(settings=settings)

    assert ask(application, "GET", "/ping")[0] == 503
    status, headers, body = ask(application, body=b"x")
    assert (status, headers["Retry-After"]) == (503, "1")
    assert body == b"the model is still being loaded\n"

    application.predictor = Echo()

    assert ask(application, "GET", "/ping")[::2] == (200, b"")
    assert ask(application, body=b"x")[::2] == (200, b"xtext/csv")


def test_a_program_that_stops_is_not_healthy(settings):
    application = Application(settings=settings, predictor=Echo(), stopping=True)

    assert ask(application, "GET", "/ping")[0] == 503


def test_a_fault_of_ours_is_500_and_tells_the_client_nothing(settings, capsys):
    application = Application(settings=settings, predictor=Echo())

    status, _, body = ask(application, body=b"bug", HTTP_ACCEPT="application/json")

    log = capsys.readouterr().out
    assert (status, json.loads(body)) == (
        500,
        {
            "error": {
                "type": "InternalError",
                "message": "the server failed on this request; its log says more",
            }
        },
    )
    assert log.startswith(
        "ZeroDivisionError (its message may hold a payload, and is left out) at\n"
    )
    assert "in answer" in log
    assert "bug" not in log
    assert "POST /invocations 500 ZeroDivisionError, 3 bytes in" in log


def test_headers_of_the_platform_change_nothing(settings):
    application = Application(settings=settings, predictor=Echo())
    headers = {"HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES": "x", "HTTP_X_AMZN_SAGEMAKER_TARGET": "y"}

    assert ask(application, body=b"x", **headers)[::2] == (200, b"xtext/csv")


def test_packed_bodies_are_refused(settings):
    application = Application(settings=settings, predictor=Echo())

    assert ask(application, body=b"x", HTTP_CONTENT_ENCODING="gzip")[::2] == (
        415,
        b"Content-Encoding is 'gzip', expected none: send the rows as they are\n",
    )


def test_a_default_that_the_program_cannot_give_is_named(settings):
    environment = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "image/png"}
    application = Application(settings=Settings.of(environment), predictor=Echo())

    assert ask(application, body=b"x")[::2] == (
        406,
        b"Accept is 'image/png (SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT)', expected one of 'text/csv', "
        b"'application/json', or '*/*'\n",
    )


def test_the_environment_says_how_to_serve():
    found = Settings.of(
        {
            "SAGEMAKER_BASE_DIR": "/base",
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "20",
            "SAGEMAKER_MODEL_SERVER_WORKERS": "40",
            "PENSTOCK_SERVE_HOST": "0.0.0.0",
        }
    )

    assert found == Settings(
        model_dir=Path("/base/model"),
        host="0.0.0.0",
        port=9000,
        threads=40,
        max_payload_bytes=20 << 20,
    )
    # The platform takes at most 100 MB on the way at once.
    assert found.execution_parameters["MaxConcurrentTransforms"] == 16
    assert Settings.of({}).host == "127.0.0.1"


def test_a_wrong_variable_is_named():
    with pytest.raises(InputError) as caught:
        Settings.of({"SAGEMAKER_BIND_TO_PORT": "http"})

    assert str(caught.value) == (
        "environment variable SAGEMAKER_BIND_TO_PORT: found 'http', expected a whole number from 0 to "
        "65,535\n  change it, or leave it out for 8,080"
    )


def test_the_argument_is_serve(capsys):
    assert serving.main(lambda _folder: Echo(), ["train"]) == 2
    assert capsys.readouterr().err == "expected the one argument 'serve', got ['train']\n"


def test_threads_answer_at_once(settings):
    meeting = threading.Barrier(2, timeout=20)

    class Meets(Echo):
        def answer(self, body, content, accept):
            meeting.wait()
            return Answer(body=body, rows=1)

    application = Application(settings=settings, predictor=Meets())
    others = []
    thread = threading.Thread(target=lambda: others.append(ask(application, body=b"1")[0]))
    thread.start()
    own = ask(application, body=b"2")[0]
    thread.join()

    assert (own, others) == (200, [200])
