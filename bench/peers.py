"""The brokers that are raced: how each is started on a free port of 127.0.0.1, with which words and
which configuration, and how it is ended. One process (or one master and its worker), on one core."""

import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 10
STOP_SECONDS = 10


class BenchError(Exception):
    """One line for a person."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Peer:
    """Name, version and configuration of one broker; `start` runs it."""

    name = ""
    title = ""
    program = ""
    forms = ("ws",)
    workers = 0  # processes that the first one starts

    def __init__(self, program=None):
        self.path = shutil.which(str(program or self.program))
        if not self.path:
            raise BenchError(f"there is no {program or self.program}: ./dev bench installs the peers")

    def version(self):
        raise NotImplementedError

    def command(self, directory):
        """Its words; writes what it needs into `directory`."""
        raise NotImplementedError

    def configuration(self):
        """All that differs from its defaults, as the report prints it."""
        raise NotImplementedError

    def port_of(self, directory, log):
        """The port it listens on; None as long as it does not."""
        raise NotImplementedError

    def start(self, core, within=None):
        """In a directory of its own, in `within` or where temporary files go."""
        return Server(self, core, within)


class Bourn(Peer):
    name = "bourn"
    title = "bourn"
    program = "bourn"
    forms = ("ws", "sse")

    words = ["--host", "127.0.0.1", "--port", "0", "--shards", "1", "--storage", "memory", "--durability", "none",
             "--log-level", "warn"]

    def version(self):
        return subprocess.run([self.path, "version"], capture_output=True, text=True).stdout.strip()

    def command(self, directory):
        return [self.path, "serve", "--data", f"{directory}/data", *self.words]

    def configuration(self):
        return "bourn serve --data DIR " + " ".join(self.words)

    def port_of(self, directory, log):
        match = re.search(r"listening on http://\S+?:(\d+)", log)
        return match and int(match.group(1))


class BournLog(Bourn):
    """Every event on disk before it is acknowledged."""

    words = ["--host", "127.0.0.1", "--port", "0", "--shards", "1", "--storage", "log", "--durability", "commit",
             "--log-level", "warn"]


class BareServer(Bourn):
    """No broker: receive, write, flush, answer."""

    name = "bare-server"
    title = "bare server"

    def version(self):
        return ""

    def command(self, directory):
        return [self.path, "serve", "--dir", str(directory)]

    def configuration(self):
        return "bourn-bench-store serve --dir DIR"


class Redis(Peer):
    """The same: its append-only file is synced before the answers of one turn of its loop."""

    name = "redis"
    title = "Redis"
    program = "redis-server"

    words = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always",
             "--auto-aof-rewrite-percentage", "0"]

    def version(self):
        out = subprocess.run([self.path, "--version"], capture_output=True, text=True).stdout
        return re.search(r"v=(\S+)", out).group(1)

    def command(self, directory):
        self.port = free_port()
        return [self.path, "--port", str(self.port), "--dir", str(directory), *self.words]

    def configuration(self):
        return "redis-server --port PORT --dir DIR " + " ".join(word or "''" for word in self.words)

    def port_of(self, directory, log):
        return self.port if "Ready to accept connections" in log else None


class Nchan(Peer):
    name = "nchan"
    title = "nginx + nchan"
    program = "nginx"
    forms = ("ws", "sse")
    workers = 1

    template = """\
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid DIR/pid;
error_log DIR/error.log error;
events { worker_connections 20000; }
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxy;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    nchan_shared_memory_size 256M;
    server {
        listen 127.0.0.1:PORT backlog=4096;
        location ~ ^/sub/(.+)$ {
            nchan_subscriber websocket eventsource;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
        }
        location ~ ^/pub/(.+)$ {
            nchan_publisher websocket;
            nchan_channel_id $1;
            nchan_store_messages off;
        }
    }
}
"""

    def version(self):
        nginx = subprocess.run([self.path, "-v"], capture_output=True, text=True).stderr
        module = subprocess.run(["dpkg-query", "-W", "-f=${Version}", "libnginx-mod-nchan"],
                                capture_output=True, text=True).stdout
        return f"{nginx.split('/')[-1].strip()}, nchan {module}"

    def command(self, directory):
        self.port = free_port()
        conf = pathlib.Path(directory) / "nginx.conf"
        conf.write_text(self.template.replace("DIR", str(directory)).replace("PORT", str(self.port)))
        return [self.path, "-c", str(conf), "-p", str(directory)]

    def configuration(self):
        return self.template.rstrip()

    def port_of(self, directory, log):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return None
        return self.port


class Nats(Peer):
    name = "nats"
    title = "NATS core"
    program = "nats-server"

    words = ["--addr", "127.0.0.1", "--port", "-1"]

    def version(self):
        out = subprocess.run([self.path, "--version"], capture_output=True, text=True)
        return (out.stdout + out.stderr).split()[-1].lstrip("v")

    def command(self, directory):
        return [self.path, *self.words]

    def configuration(self):
        return "nats-server " + " ".join(self.words)

    def port_of(self, directory, log):
        match = re.search(r"client connections on 127\.0\.0\.1:(\d+)", log)
        return match and int(match.group(1))


class Server:
    """A started peer; ends with its `with`, and with us (setpriv), however we end."""

    def __init__(self, peer, core, within):
        self.peer = peer
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="bourn-bench-", dir=within))
        self.directory.chmod(0o755)  # nginx's worker is another user
        self.log = self.directory / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *peer.command(self.directory)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)  # a Ctrl-C is for us: we end it
        try:
            self.port = self._wait_for_port()
        except BaseException:
            self.stop()
            raise
        self.pids = [self.process.pid, *children(self.process.pid)]

    def _wait_for_port(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            port = self.peer.port_of(self.directory, self.log.read_text(errors="replace"))
            if port and len(children(self.process.pid)) >= self.peer.workers:
                return port
            time.sleep(0.02)
        raise BenchError(f"{self.peer.title} does not start:\n{self.log.read_text(errors='replace')}")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
