"""The process of a plane: ``python -m penstock.local.server --folder DIR``, started by ``Plane``.

It prints one JSON line when it is ready, serves until its standard input ends or SIGTERM arrives, and
ends all work that it started.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Serve; return 0 when it was asked to end."""
    options = _options(argv)
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    app = _moto()
    server, site, made = _assembled(app, folder, options.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if options.keep:
        from penstock.local import snapshot

        snapshot.restore(site)
    print(json.dumps({"port": server.port, "pid": os.getpid()}), flush=True)
    _until_asked()
    for service in made:
        service.stop()
    site.stop()
    if options.keep:
        from penstock.local import snapshot

        snapshot.save(site)
    server.shutdown()
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="penstock.local.server")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    return parser.parse_args(argv)


def _moto() -> Any:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    from penstock.local.conditional import Conditional

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    return Conditional(DomainDispatcherApplication(create_backend_app))


def _assembled(app: Any, folder: Path, port: int) -> tuple[Any, Any, Any]:
    """Return the bound server, its site and the services; nothing is served yet."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    from penstock.local.front import Front
    from penstock.local.services import services
    from penstock.local.site import Moto, Site

    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)
    site = Site(folder.absolute(), f"http://127.0.0.1:{server.port}", Moto(app))
    # This process is a client of its own S3: penstock.storage finds it as everybody does.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= site.environment()
    made = services(site)
    server.app = Front(app, made, site.regions)
    site.front = Moto(server.app)
    return server, site, made


def _until_asked() -> None:
    """Wait for the end of standard input, or for a signal."""
    asked = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)

    def watch() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        asked.set()

    threading.Thread(target=watch, daemon=True).start()
    asked.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
