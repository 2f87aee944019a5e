// FTP's data connections: one listener for each passive reply, one connection from the control client, then gone.
import type { Socket } from 'node:net';
import type { Cancel } from '../model/clock.ts';
import { tcp, type TcpEndpoint } from '../model/endpoint.ts';
import type { OpenRequest } from './connection.ts';
import { plainAddress } from './ftp.ts';
import { reach } from './reach.ts';
import { resetSocket } from './reset.ts';
import { listen, type Listener } from './sockets.ts';

/** A client that asked for a data connection and does not come: the listener is closed. */
const waitMs = 60_000;

export class DataPorts {
  readonly #request: OpenRequest;
  readonly #host: string;
  /** Where clients reach us: the address on which the control connection came in. */
  readonly address: string;
  #listener: Listener | null = null;
  #cancel: Cancel = () => undefined;
  #closed = false;

  /** `host`: the control connection's own target host, where every data connection goes. */
  constructor(request: OpenRequest, host: string) {
    this.#request = request;
    this.#host = host;
    this.address = plainAddress(request.arrival.socket.localAddress ?? '127.0.0.1');
  }

  /** Listens for the one connection to `port` there; ends the listener before. Throws LISTEN_FAILED. */
  async open(port: number): Promise<number> {
    await this.#end();
    const { clock } = this.#request;
    const host = this.address === '::1' ? 'localhost' : this.address; // PASV over IPv6 names the IPv4 loopback
    const listener = await listen(tcp(host, 0), {
      accept: (socket) => this.#accept(socket, listener, tcp(this.#host, port)),
      trouble: () => undefined, // the client's connect fails, and it says so
      preferredPort: null,
    });
    if (this.#closed) {
      await listener.close();
      return 0;
    }
    this.#listener = listener;
    this.#cancel = clock.schedule(waitMs, () => void this.#end());
    return listener.at.kind === 'tcp' ? listener.at.port : 0;
  }

  close(): void {
    this.#closed = true;
    void this.#end();
  }

  #accept(socket: Socket, listener: Listener, target: TcpEndpoint): void {
    const request = this.#request;
    const from = plainAddress(socket.remoteAddress ?? '');
    const client = plainAddress(request.arrival.origin.host);
    if (listener !== this.#listener || !samePlace(from, client)) {
      socket.on('error', () => undefined);
      resetSocket(socket);
      request.log(
        'warn',
        'ftp-stranger',
        `data connection refused, from ${from}: the control connection is ${client}'s`,
      );
      return;
    }
    void this.#end();
    request.adopt(socket, async (data) => ({ kind: 'channel', channel: await reach(data, target) }));
  }

  async #end(): Promise<void> {
    this.#cancel();
    const listener = this.#listener;
    this.#listener = null;
    await listener?.close();
  }
}

/** Equal addresses; the two loopbacks are one place. */
function samePlace(one: string, other: string): boolean {
  const loopback = (address: string): boolean => address === '::1' || address.startsWith('127.');
  return one === other || (loopback(one) && loopback(other));
}
