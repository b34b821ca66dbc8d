"""A flag server for the tests: documents that are read, written and removed over HTTPS, with ETag, `Prefer: wait` and a bearer
token. Commands come by stdin, one a line, and each is answered by a line:
  set PATH TEXT   del PATH   get PATH   paths   token TEXT   mode ok|500|slow|hang|garbage|html|redirect|drip|reset   count
Usage: flags.py CERT KEY TOKEN [PORT]        prints `port N`
"""
import hashlib
import http.server
import socket
import ssl
import struct
import sys
import threading
import time

state = threading.Condition()
documents = {}
settings = {"mode": "ok", "token": sys.argv[3], "count": 0}


def tag(text):
    return '"%s"' % hashlib.sha1(repr(text).encode()).hexdigest()[:12]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def allowed(self):
        with state:
            settings["count"] += 1
            want = settings["token"]
        if want and self.headers.get("Authorization") != "Bearer " + want:
            self.answer(401, b"no")
            return False
        return True

    def broken(self):
        mode = settings["mode"]
        if mode == "ok":
            return False
        if mode == "500":
            self.answer(500, b"oops")
        elif mode == "html":
            self.answer(200, b"<html>login</html>")
        elif mode == "redirect":
            self.answer(302, b"", [("Location", "https://127.0.0.1/else")])
        elif mode == "garbage":
            self.wfile.write(b"\x00\xff garbage \r\n\r\n" * 10)
            self.close_connection = True
        elif mode == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
        elif mode == "drip":
            try:
                for byte in b"HTTP/1.1 404 Not Found\r\nX-Slow: " + b"x" * 4000:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                pass
            self.close_connection = True
        else:
            while settings["mode"] == mode:
                time.sleep(0.02)
            self.close_connection = True
        return True

    def do_GET(self):
        if self.broken() or not self.allowed():
            return
        wait = 0
        for preference in self.headers.get("Prefer", "").split(","):
            if preference.strip().startswith("wait="):
                wait = int(preference.strip()[5:])
        until = time.monotonic() + wait
        with state:
            while wait and tag(documents.get(self.path)) == self.headers.get("If-None-Match"):
                left = until - time.monotonic()
                if left <= 0 or not state.wait(left):
                    break
                if settings["mode"] != "ok":
                    break
            found = documents.get(self.path)
        headers = [("ETag", tag(found))]
        if "Prefer" in self.headers:
            headers.append(("Preference-Applied", "wait=%d" % wait))
        if tag(found) == self.headers.get("If-None-Match"):
            self.send_response(304)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
        elif found is None:
            self.answer(404, b"nothing", headers)
        else:
            self.answer(200, found.encode(), headers)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.broken() or not self.allowed():
            return
        with state:
            documents[self.path] = body.decode()
            state.notify_all()
        self.answer(200, b"")

    def do_DELETE(self):
        if self.broken() or not self.allowed():
            return
        with state:
            there = documents.pop(self.path, None)
            state.notify_all()
        self.answer(204 if there is not None else 404, b"")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # Whoever hangs in the handshake must hang nobody else.
    def finish_request(self, request, address):
        try:
            request = context.wrap_socket(request, server_side=True)
            self.RequestHandlerClass(request, address, self)
        except OSError:
            pass

    def handle_error(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
port = int(sys.argv[4]) if len(sys.argv) > 4 else 0
server = Server(("127.0.0.1", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("port", server.server_address[1], flush=True)
for line in sys.stdin:
    words = line.rstrip("\n").split(" ", 2)
    answer = "done"
    with state:
        if words[0] == "set":
            documents[words[1]] = words[2]
        elif words[0] == "del":
            documents.pop(words[1], None)
        elif words[0] == "get":
            answer = "get %s" % documents.get(words[1])
        elif words[0] == "paths":
            answer = " ".join(["paths"] + sorted(documents))
        elif words[0] == "count":
            answer = "count %d" % settings["count"]
        else:
            settings[words[0]] = words[1]
        state.notify_all()
    print(answer, flush=True)
