"""Opens requests, reads nothing, waits to be killed: `python doomed_client.py PORT NUM_REQUESTS BODY`."""

import signal
import socket
import sys

port, num_requests, body = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
head = "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(num_requests)]
for sock in socks:
    sock.sendall((head % len(body)).encode() + body)
print("sent", flush=True)
signal.pause()
