// Peer: a WebSocket or an EventSource that keeps what comes until it is asked for.
//
// The same code runs in a page and, with the package `ws`, in node. Bytes cross to the test as
// {base64: "…"}, what ends a connection as {closed: code, reason}.

globalThis.Peer = class Peer {
  constructor() {
    this.waiting = [];
    this.came = [];
  }

  // A WebSocket of whichever kind; `close` and `message` are the browser's words, and ws knows them.
  static socket(socket) {
    const peer = new Peer();
    peer.target = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => peer.put(typeof data === "string" ? data : { base64: Peer.base64(data) });
    socket.onclose = ({ code, reason }) => peer.put({ closed: code, reason });
    return new Promise((resolve) => {
      socket.onopen = () => resolve(peer);
      socket.onerror = ({ message }) => resolve(Object.assign(peer, { failure: message ?? "failed" }));
    });
  }

  // An EventSource: {type, data, id} for each event of the named types.
  static events(url, ...types) {
    const peer = new Peer();
    peer.target = new EventSource(url);
    for (const type of ["message", ...types])
      peer.target.addEventListener(type, ({ data, lastEventId }) => peer.put({ type, data, id: lastEventId }));
    return new Promise((resolve) => {
      peer.target.onopen = () => resolve(peer);
    });
  }

  put(value) {
    const next = this.waiting.shift();
    if (next) next(value);
    else this.came.push(value);
  }

  async take(count = 1) {
    const values = [];
    while (values.length < count)
      values.push(this.came.length ? this.came.shift() : await new Promise((next) => this.waiting.push(next)));
    return values;
  }

  static base64(bytes) {
    const piece = 1 << 14; // of what a call takes as arguments
    let text = "";
    for (let i = 0; i < bytes.byteLength; i += piece)
      text += String.fromCharCode(...new Uint8Array(bytes.slice(i, i + piece)));
    return btoa(text);
  }

  static bytes(base64) {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  }
};
