"""What a switch costs for a whole fleet, simulated with a real redis-server on this machine: BOXES connections that behave as a
watch does (HELLO 3, SUBSCRIBE, EXISTS in each interval with jitter), then one SET and PUBLISH.
Usage: fleet.py [BOXES [INTERVAL [SECONDS]]]
"""
import asyncio
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import time

boxes = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
interval = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 30.0
KEYS = ["agents:stop", "agents:stop:team:a", "agents:stop:repo:b", "agents:stop:host:c", "agents:stop:user:d"]

need = boxes + 200
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if hard != resource.RLIM_INFINITY and hard < need:
    boxes = hard - 200
    print(f"only {boxes} boxes: at most {hard} descriptors here")
resource.setrlimit(resource.RLIMIT_NOFILE, (min(need, hard) if hard > 0 else need, hard))


def command(*words):
    out = b"*%d\r\n" % len(words)
    for word in words:
        word = word.encode()
        out += b"$%d\r\n%s\r\n" % (len(word), word)
    return out


HELLO = command("HELLO", "3")
SUBSCRIBE = command("SUBSCRIBE", *KEYS, *(f"__keyspace@0__:{key}" for key in KEYS))
ASK = b"".join(command("EXISTS", key) for key in KEYS)
asked = 0
told = []


class Box(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        transport.write(HELLO + SUBSCRIBE)
        asyncio.get_running_loop().call_later(random.uniform(0, interval), self.ask)

    def ask(self):
        global asked
        asked += 1
        self.transport.write(ASK)
        asyncio.get_running_loop().call_later(interval + random.uniform(0, interval / 10), self.ask)

    def data_received(self, data):
        if b"changed" in data:
            told.append(time.monotonic())


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


async def main():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--maxclients", str(boxes + 100), "--dir", "/tmp", "--tcp-backlog", "4096"],
        # The same program; the package that has it under this name starts no service.
        executable=shutil.which("redis-check-rdb"),
        stdout=subprocess.DEVNULL,
    )
    try:
        loop = asyncio.get_running_loop()
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        empty = memory(server.pid)
        begun = time.monotonic()
        for first in range(0, boxes, 500):
            count = min(500, boxes - first)
            await asyncio.gather(*(loop.create_connection(Box, "127.0.0.1", port) for _ in range(count)))
        print(f"{boxes} boxes connected in {time.monotonic() - begun:.1f} s")
        await asyncio.sleep(interval)
        before, used, begun = asked, cpu(server.pid), time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - begun
        rate = (asked - before) / took
        print(f"idle: {rate:.0f} questions a second (computed: {boxes / (interval * 1.05):.0f}), each of {len(KEYS)} keys in one packet")
        print(f"redis-server: {100 * (cpu(server.pid) - used) / took:.1f}% of one CPU, {memory(server.pid) - empty:.0f} MiB more memory ({1024 * (memory(server.pid) - empty) / boxes:.1f} KiB a box)")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = time.monotonic()
        writer.write(command("SET", KEYS[0], "x") + command("PUBLISH", KEYS[0], "changed"))
        while len(told) < boxes and time.monotonic() - sent < 30:
            await asyncio.sleep(0.01)
        times = sorted(at - sent for at in told)
        print(f"told: {len(times)} of {boxes}; median {1000 * times[len(times) // 2]:.0f} ms, last {1000 * times[-1]:.0f} ms (one process stands for all of them)")
        writer.close()
    finally:
        server.kill()
        server.wait()


asyncio.run(main())
