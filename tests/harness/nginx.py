"""Debian's nginx, with what a page says to put into its configuration."""

import os
import shutil
import socket
import subprocess
import time

import pytest

from harness.http import Connection

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
NGINX_CONF = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
worker_processes 1;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    {location}
  }}
}}
"""
LOCATION = "location / { proxy_pass http://127.0.0.1:3030; proxy_set_header Host $http_host; }"


class Nginx:
    """Debian's nginx before a broker, with the buffering it has by default."""

    def __init__(self, folder, upstream, location=LOCATION):
        if not os.access(NGINX, os.X_OK):
            pytest.skip("SKIPPED LOUDLY: there is no nginx: ./dev deps test")
        folder.mkdir(exist_ok=True)
        port = free_port()
        conf = folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(folder=folder, port=port,
                                          location=location.replace(":3030", f":{upstream}")))
        self.process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(conf)], stderr=subprocess.DEVNULL)
        self.port = port
        self.url = f"http://localhost:{port}"
        deadline = time.monotonic() + 20
        while True:
            try:
                Connection(port).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, "nginx does not start"
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def free_port():
    """One that was free a moment ago: nginx takes no 0."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
