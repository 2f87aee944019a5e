// FTP through a local forward (`protocol: ftp`): the control connection is read along on its way, what cannot be carried is
// answered here, and passive replies are rewritten once their data port is open here.
import type { Socket } from 'node:net';
import type { Carrier, CarrierParts } from '../model/carrier.ts';
import type { Cancel } from '../model/clock.ts';
import { formatEndpoint, tcp, type TcpEndpoint } from '../model/endpoint.ts';
import type { LocalForward } from '../model/forward.ts';
import type { Channel, ChannelReader } from '../model/session.ts';
import type { Hold } from '../model/tunnel.ts';
import {
  cannotListen,
  cannotUnderstand,
  LineReader,
  lineTooLong,
  passiveReply,
  plainAddress,
  readCommand,
  ReplyReader,
  type Reply,
} from './ftp-lines.ts';
import { ListeningCarrier, openTo, type OpenRequest } from './local.ts';
import { resetSocket } from '../model/reset-socket.ts';
import { listen, type Listener } from './sockets.ts';

export function createFtpCarrier(forward: LocalForward, hold: Hold, parts: CarrierParts): Carrier {
  return new ListeningCarrier(forward, hold, parts, {
    target: ({ target }) => formatEndpoint(target),
    open:
      ({ target }) =>
      async (request) => {
        const channel = await openTo(target, request);
        // A server on a unix socket has its data ports on the SSH server itself.
        const host = target.kind === 'tcp' ? target.host : '127.0.0.1';
        return { kind: 'channel', channel: new FtpControl(channel, request, host) };
      },
    takesOver: (before, after) => before.protocol === after.protocol,
  });
}

/** What the client has not read yet of the server's words, before the server is asked to wait. */
const unreadLimit = 64 * 1024;
/** Our own answer waits for those of earlier commands, but not longer: a server may answer two commands in one. */
const turnMs = 1000;
/** Our own answers that wait, before the client is asked to. */
const mostAnswers = 100;

type FromServer =
  | { kind: 'bytes'; bytes: Buffer }
  | { kind: 'lines'; lines: readonly Buffer[]; next: number }
  | { kind: 'end' }
  | { kind: 'closed'; clean: boolean };

/** The control connection: a channel that reads along. */
export class FtpControl implements Channel {
  readonly #channel: Channel;
  readonly #request: OpenRequest;
  readonly #data: DataPorts;
  readonly #commands = new LineReader();
  readonly #lines = new LineReader();
  readonly #replies = new ReplyReader();
  #reader: ChannelReader | null = null;
  /** The server's words not yet passed on: one of them waits for a data port. */
  readonly #backlog: FromServer[] = [];
  #busy = false;
  /** What goes to the client at the end of this turn, in one piece: a line each would cost memory of its own. */
  #out: Buffer[] = [];
  /** Replies that the server owes from the beginning on, the greeting first, and those that it has given. */
  #asked = 1;
  #answered = 0;
  /** Our own answers in their order, each behind so many of the server's. */
  #answers: { readonly after: number; readonly reply: Buffer }[] = [];
  /** Set while one of them waits. */
  #cancelTurn: Cancel | null = null;
  /** The channel takes no more for now; the client was told to wait, for that or for what it leaves unread. */
  #channelFull = false;
  #clientWaits = false;
  /** Delivered to the client's side and not consumed; received from the server and not consumed. */
  #unread = 0;
  #owed = 0;

  constructor(channel: Channel, request: OpenRequest, host: string) {
    this.#channel = channel;
    this.#request = request;
    this.#data = new DataPorts(request, host);
  }

  attach(reader: ChannelReader): void {
    this.#reader = reader;
    this.#channel.attach({
      data: (chunk) => this.#received(chunk),
      end: () => this.#enqueue({ kind: 'end' }),
      closed: (clean) => {
        this.#release();
        this.#enqueue({ kind: 'closed', clean });
      },
      drain: () => {
        this.#channelFull = false;
        this.#goOn();
      },
    });
  }

  consumed(bytes: number): void {
    this.#unread -= bytes;
    this.#settle();
    this.#goOn();
  }

  write(chunk: Buffer): boolean {
    const passed: Buffer[] = [];
    for (const line of this.#commands.push(chunk)) {
      const command =
        line === null ? ({ kind: 'answer', reply: lineTooLong, verb: '' } as const) : readCommand(line);
      if (command.kind === 'pass') {
        this.#asked += 1;
        passed.push(command.line);
      } else {
        if (command.verb === 'AUTH')
          this.#request.log(
            'info',
            'ftp-auth',
            'AUTH answered 502: the tunnel encrypts already, TLS would hide the data ports',
          );
        this.#answers.push({ after: this.#asked, reply: command.reply });
      }
    }
    this.#sayAnswers();
    this.#say();
    if (passed.length > 0) this.#channelFull = !this.#channel.write(Buffer.concat(passed));
    this.#clientWaits = this.#channelFull || this.#isBehind();
    return !this.#clientWaits;
  }

  /** A client that asks, and reads none of our own answers, would fill the memory with them. */
  #isBehind(): boolean {
    return this.#answers.length > mostAnswers || this.#unread > unreadLimit;
  }

  #goOn(): void {
    if (!this.#clientWaits || this.#channelFull || this.#isBehind()) return;
    this.#clientWaits = false;
    this.#reader?.drain();
  }

  end(): void {
    const rest = this.#commands.rest();
    if (rest.length > 0) this.#channel.write(rest);
    this.#channel.end();
  }

  close(): void {
    this.#release();
    this.#channel.close();
  }

  #release(): void {
    this.#cancelTurn?.();
    this.#data.close();
  }

  #received(chunk: Buffer): void {
    this.#owed += chunk.length;
    this.#enqueue({ kind: 'bytes', bytes: chunk });
    this.#settle();
  }

  /** Gives window back while the client reads along: what is held here is bounded by it. */
  #settle(): void {
    if (this.#owed === 0 || this.#unread > unreadLimit || this.#busy) return;
    const owed = this.#owed;
    this.#owed = 0;
    this.#channel.consumed(owed);
  }

  #enqueue(event: FromServer): void {
    this.#backlog.push(event);
    this.#flush();
  }

  #flush(): void {
    while (!this.#busy) {
      const event = this.#backlog.shift();
      if (event === undefined) break;
      this.#take(event);
    }
    this.#say();
  }

  #take(event: FromServer): void {
    switch (event.kind) {
      case 'bytes': {
        const lines = this.#lines.push(event.bytes).filter((line) => line !== null);
        this.#take({ kind: 'lines', lines, next: 0 });
        break;
      }
      case 'lines': {
        const { lines } = event;
        let { next } = event;
        for (let line = lines[next]; line !== undefined && !this.#busy; line = lines[next]) {
          next += 1;
          this.#line(line, this.#replies.read(line));
        }
        if (next < lines.length) this.#backlog.unshift({ kind: 'lines', lines, next });
        break;
      }
      case 'end': {
        const rest = this.#lines.rest();
        if (rest.length > 0) this.#deliver(rest);
        this.#say();
        this.#reader?.end();
        break;
      }
      case 'closed':
        this.#say();
        this.#reader?.closed(event.clean);
        break;
    }
  }

  #line(line: Buffer, reply: Reply): void {
    if (reply.kind === 'text') return this.#deliver(line);
    if (reply.code === 227 || reply.code === 229) {
      this.#busy = true;
      void this.#passive(reply.code, reply.passivePort).then((rewritten) => {
        this.#busy = false;
        this.#final(rewritten, reply.code);
        this.#flush();
        this.#settle();
      });
    } else this.#final(line, reply.code);
  }

  #final(line: Buffer, code: number): void {
    this.#deliver(line);
    if (code < 200) return; // 1xx: the reply that ends the command is still to come (RFC 959 4.2.1)
    this.#answered = Math.min(this.#asked, this.#answered + 1);
    this.#sayAnswers();
  }

  async #passive(code: number, port: number | null): Promise<Buffer> {
    if (port === null) return cannotUnderstand;
    try {
      const { address } = this.#data;
      const here = await this.#data.open(port);
      return passiveReply(code, address, here) ?? cannotListen;
    } catch (error) {
      this.#request.log('warn', 'ftp-listen', error instanceof Error ? error.message : String(error));
      return cannotListen;
    }
  }

  #sayAnswers(): void {
    const waiting = this.#answers.findIndex(({ after }) => after > this.#answered);
    const due = this.#answers.splice(0, waiting === -1 ? this.#answers.length : waiting);
    for (const { reply } of due) this.#deliver(reply);
    if (this.#answers.length > 0)
      this.#cancelTurn ??= this.#request.clock.schedule(turnMs, () => this.#turn());
  }

  /** The answers have waited long enough. */
  #turn(): void {
    this.#cancelTurn = null;
    this.#answered = this.#asked;
    this.#sayAnswers();
    this.#say();
    this.#goOn();
  }

  #deliver(bytes: Buffer): void {
    this.#unread += bytes.length;
    this.#out.push(bytes);
  }

  #say(): void {
    const [first, ...more] = this.#out;
    if (first === undefined) return;
    this.#out = [];
    this.#reader?.data(more.length === 0 ? first : Buffer.concat([first, ...more]));
  }
}

/** A client that asked for a data connection and does not come: the listener is closed. */
const waitMs = 60_000;

/** Data connections: one listener for each passive reply, one connection from the control client, then gone. */
class DataPorts {
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
    this.address = plainAddress(request.client.socket.localAddress ?? '127.0.0.1');
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
    const client = plainAddress(request.client.origin.host);
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
    request.adopt(socket, async (data) => ({ kind: 'channel', channel: await openTo(target, data) }));
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
