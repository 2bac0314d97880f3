"""What a spark-submit on the plane is made of: arguments, files, reasons, places and ends. No JVM."""

from __future__ import annotations

import io
import tarfile
import threading

import pytest

from penstock.errors import InputError, MissingFileError
from penstock.local.sparkargs import Submission, parse, settled, split_text
from penstock.local.sparkfiles import Fetcher, laid_out, on_s3
from penstock.local.sparkjob import Slots, SparkJob
from penstock.local.sparkreason import reason_of


def test_arguments_are_sorted_into_what_runs_here_and_what_does_not():
    text = (
        "--class a.B --name=mine --conf spark.x=a=b -c spark.driver.memory=8g -v --jars a.jar,b.jar "
        "--conf spark.archives=s3://b/e.tgz#env --conf spark.yarn.appMasterEnv.A=1 "
        "--driver-class-path /x --executor-cores 4 --master local[3] app.py --conf y"
    )

    found = parse(split_text(text))

    assert found == Submission(
        script="app.py",
        arguments=("--conf", "y"),
        options=("--class", "a.B", "--name", "mine", "-v"),
        conf={"spark.x": "a=b", "spark.driver.extraClassPath": "/x", "spark.master": "local[3]"},
        files={"spark.jars": ("a.jar", "b.jar"), "spark.archives": ("s3://b/e.tgz#env",)},
        environment={"A": "1"},
        notes=(
            "--executor-cores 4 is for a cluster: left out",
            "--conf spark.driver.memory=8g is for a cluster: left out",
        ),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "--conf spark.x app.py",
            "spark-submit: --conf 'spark.x' has no '='\n  say --conf NAME=VALUE",
        ),
        (
            "--conf",
            "spark-submit: option --conf has no value\n  say --conf VALUE",
        ),
        (
            "--verbose",
            "spark-submit: the arguments name no program\n"
            "  say spark-submit [OPTIONS] s3://BUCKET/app.py [ARGUMENTS]",
        ),
        (
            "--supervise app.py",
            "spark-submit: option --supervise is not in the local plane\n  leave it out",
        ),
        (
            "--conf 'x",
            'spark-submit: "--conf \'x" cannot be cut into arguments: No closing quotation\n'
            "  close the quotes",
        ),
    ],
)
def test_wrong_arguments_are_refused(text, message):
    with pytest.raises(InputError) as caught:
        parse(split_text(text))

    assert str(caught.value) == message


def test_settings_of_the_cluster_hold_where_the_job_says_nothing():
    job = parse(["--conf", "spark.a=1", "--files", "f", "app.py"])

    found = job.under({"spark.a": "0", "spark.b": "0", "spark.master": "yarn", "spark.jars": "j"})

    assert found.conf == {"spark.a": "1", "spark.b": "0"}
    assert found.files == {"spark.files": ("f",), "spark.jars": ("j",)}
    assert found.notes == ("--conf spark.master=yarn is for a cluster: left out",)
    assert settled(Submission(script="a", environment={"A": "0"}), {}).environment == {"A": "0"}


def test_all_schemes_of_s3_are_s3():
    found = [on_s3(f"{scheme}://b/k") for scheme in ("s3", "s3a", "s3n", "file", "https")]

    assert found == ["s3://b/k"] * 3 + ["", ""]


def test_files_are_laid_out_as_on_a_cluster(s3, tmp_path):
    from penstock import storage

    storage.write_bytes(f"{s3}/a/x.txt", b"one")
    storage.write_bytes(f"{s3}/b/x.txt", b"two")
    archive = tmp_path / "env.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        entry = tarfile.TarInfo("bin/tool")
        entry.size = 3
        made.addfile(entry, io.BytesIO(b"run"))
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    files = {
        "spark.files": (f"{s3}/a/x.txt", f"{s3}/b/x.txt#y.txt"),
        "spark.archives": (f"{archive}#env",),
    }

    found = laid_out(files, Fetcher(tmp_path / "fetched"), cwd)

    folder = tmp_path / "fetched"
    assert found == {
        "spark.files": (f"{folder}/0/x.txt", f"{folder}/1/x.txt#y.txt"),
        "spark.archives": (f"{archive}#env",),
    }
    assert (cwd / "x.txt").read_text() + (cwd / "y.txt").read_text() == "onetwo"
    assert (cwd / "env" / "bin" / "tool").read_text() == "run"


def test_files_that_cannot_be_had_are_refused(s3, tmp_path):
    broken = tmp_path / "a.zip"
    broken.write_bytes(b"no archive")
    fetcher = Fetcher(tmp_path / "fetched")

    with pytest.raises(MissingFileError):
        laid_out({"spark.jars": (f"{s3}/none.jar",)}, fetcher, tmp_path)
    with pytest.raises(InputError) as unreadable:
        laid_out({"spark.archives": (f"{broken}#x",)}, fetcher, tmp_path)
    with pytest.raises(InputError) as outside:
        laid_out({"spark.files": (f"{broken}#../x",)}, fetcher, tmp_path)

    assert str(unreadable.value) == (
        f"spark-submit: archive '{broken}#x' cannot be unpacked: file could not be opened successfully:\n"
        "- method gz: ReadError('not a gzip file')\n"
        "- method bz2: ReadError('not a bzip2 file')\n"
        "- method xz: ReadError('not an lzma file')\n"
        "- method tar: ReadError('truncated header')\n"
        "  expected .zip, .tar or .tar.gz"
    )
    assert str(outside.value) == (
        "spark-submit: '../x' is no name for a file\n  expected a name, no path"
    )


TRACE = "Traceback (most recent call last):\n  File 'x', line 1\n"
JAVA = "py4j.protocol.Py4JJavaError: An error occurred.\n: org.apache.spark.SparkException: lost\n\tat x\n"


@pytest.mark.parametrize(
    ("stdout", "stderr", "code", "message", "log"),
    [
        (f"a\n{TRACE}ValueError: b\n", "", 1, "ValueError: b", "stdout"),
        (f"{TRACE}A: a\n\nDuring\n\n{TRACE}B: b\n", "", 1, "B: b", "stdout"),
        (
            TRACE + JAVA,
            "",
            1,
            "py4j.protocol.Py4JJavaError: An error occurred.\n: org.apache.spark.SparkException: lost",
            "stdout",
        ),
        (f"{TRACE}A: caught\nerror: b\n  c\nafter\n", "", 3, "error: b\n  c", "stdout"),
        (
            "fine\n",
            'Exception in thread "main" org.apache.spark.SparkException: no\n',
            1,
            "org.apache.spark.SparkException: no",
            "stderr",
        ),
        ("", "Error: Failed to load class a.B.\n", 101, "Failed to load class a.B.", "stderr"),
        (
            "",
            'Exception in thread "main" org.apache.spark.SparkUserAppException: exited with 7\n',
            7,
            "the program ended with exit code 7",
            "stderr",
        ),
        ("", "", -9, "the program ended by signal 9", "stderr"),
        (None, None, 5, "the program ended with exit code 5", "stderr"),
    ],
)
def test_the_reason_is_read_off_the_logs(tmp_path, stdout, stderr, code, message, log):
    for name, text in (("stdout", stdout), ("stderr", stderr)):
        if text is not None:
            (tmp_path / name).write_text(text)

    found = reason_of(tmp_path / "stdout", tmp_path / "stderr", code)

    assert (found.message, found.log.name) == (message, log)


def test_places_are_given_in_the_order_of_asking_and_never_too_many():
    slots, order, held, most = Slots(2), [], [], []
    lock, asked = threading.Lock(), threading.Semaphore(0)

    def work(number):
        assert slots.acquire(lambda: False)
        with lock:
            order.append(number)
            held.append(number)
            most.append(len(held))
        asked.acquire()
        with lock:
            held.remove(number)
        slots.release()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        before = len(slots._waiting) + len(order)
        thread.start()
        while len(slots._waiting) + len(order) == before:
            pass
    for _ in threads:
        asked.release()
    for thread in threads:
        thread.join(10)

    assert order == [0, 1, 2, 3, 4, 5]
    assert max(most) == 2


def test_who_gives_up_gets_no_place_and_holds_nobody_up():
    slots = Slots(1)
    slots.acquire(lambda: False)

    assert slots.acquire(lambda: True) is False
    slots.release()
    assert slots.acquire(lambda: False) is True


class Alone:
    """A site of one job, without a server."""

    def __init__(self):
        self.stopping = threading.Event()

    def environment(self, region):
        return {"AWS_REGION": region}


def program(path, text):
    path.write_text(text)
    return lambda: Submission(script=str(path), engine="python")


def test_a_job_that_does_not_end_on_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("penstock.local.sparkjob.GRACE_S", 0.1)
    text = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\ntime.sleep(600)"
    )
    job = SparkJob(Alone(), folder=tmp_path, region="r")

    ended = job.run(program(tmp_path / "a.py", text), on_line=lambda line: job.cancel())

    assert (ended.outcome, ended.exit_code) == ("cancelled", -9)
    assert job.stdout.read_text() == "up\n"


def test_a_job_has_its_time_and_no_more(tmp_path):
    job = SparkJob(Alone(), folder=tmp_path, region="r", timeout_s=0.2)

    ended = job.run(program(tmp_path / "a.py", "import time; time.sleep(600)"))

    assert (ended.outcome, ended.exit_code) == ("timed_out", -15)


def test_nothing_of_a_job_stays_but_its_logs(tmp_path):
    site = Alone()
    folder = tmp_path / "job"
    folder.mkdir()
    text = "open('made here', 'w'); import os; print(os.path.basename(os.getcwd()), os.environ['TMPDIR'])"

    ended = SparkJob(site, folder=folder, region="r").run(program(tmp_path / "a.py", text))

    assert ended.outcome == "succeeded"
    assert sorted(path.name for path in folder.iterdir()) == ["controller", "stderr", "stdout"]
    assert (folder / "stdout").read_text() == f"cwd {folder}/tmp\n"


def test_a_stopping_plane_starts_nothing(tmp_path):
    site = Alone()
    site.stopping.set()

    ended = SparkJob(site, folder=tmp_path, region="r").run(program(tmp_path / "a.py", "1/0"))

    assert (ended.outcome, ended.exit_code) == ("cancelled", None)
    assert not (tmp_path / "stdout").exists()
