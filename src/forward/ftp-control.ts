// FTP's control connection on its way through: a channel that reads along, answers what cannot be carried, and
// rewrites passive replies once their data port is open here.
import type { Channel, ChannelReader } from '../model/session.ts';
import type { OpenRequest } from './connection.ts';
import { DataPorts } from './ftp-data.ts';
import {
  cannotListen,
  cannotUnderstand,
  LineReader,
  lineTooLong,
  passiveReply,
  readCommand,
  ReplyReader,
  type Reply,
} from './ftp.ts';

/** What the client has not read yet of the server's words, before the server is asked to wait. */
const unreadLimit = 64 * 1024;
/** Our own answer waits for those of earlier commands, but not longer: a server may answer two commands in one. */
const turnMs = 1000;

type FromServer =
  | { kind: 'bytes'; bytes: Buffer }
  | { kind: 'lines'; lines: readonly Buffer[]; next: number }
  | { kind: 'end' }
  | { kind: 'closed'; clean: boolean };

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
  /** Commands the server has still to answer; the greeting is the first. */
  #unanswered = 1;
  /** Our own answers, each behind so many of the server's. */
  #answers: { after: number; reply: Buffer }[] = [];
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
        this.#data.close();
        this.#enqueue({ kind: 'closed', clean });
      },
      drain: () => reader.drain(),
    });
  }

  consumed(bytes: number): void {
    this.#unread -= bytes;
    this.#settle();
  }

  write(chunk: Buffer): boolean {
    const passed: Buffer[] = [];
    for (const line of this.#commands.push(chunk)) {
      const command =
        line === null ? ({ kind: 'answer', reply: lineTooLong, verb: '' } as const) : readCommand(line);
      if (command.kind === 'pass') {
        this.#unanswered += 1;
        passed.push(command.line);
      } else {
        if (command.verb === 'AUTH')
          this.#request.log(
            'info',
            'ftp-auth',
            'AUTH answered 502: the tunnel encrypts already, TLS would hide the data ports',
          );
        this.#answerInTurn(command.reply);
      }
    }
    return passed.length === 0 || this.#channel.write(Buffer.concat(passed));
  }

  end(): void {
    const rest = this.#commands.rest();
    if (rest.length > 0) this.#channel.write(rest);
    this.#channel.end();
  }

  close(): void {
    this.#data.close();
    this.#channel.close();
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
    this.#unanswered = Math.max(0, this.#unanswered - 1);
    for (const answer of this.#answers) answer.after -= 1;
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

  #answerInTurn(reply: Buffer): void {
    this.#answers.push({ after: this.#unanswered, reply });
    this.#sayAnswers();
    this.#say();
    if (this.#answers.length === 0) return;
    this.#request.clock.schedule(turnMs, () => {
      for (const answer of this.#answers) answer.after = 0;
      this.#unanswered = 0;
      this.#sayAnswers();
      this.#say();
    });
  }

  #sayAnswers(): void {
    const due = this.#answers.filter(({ after }) => after <= 0);
    this.#answers = this.#answers.filter(({ after }) => after > 0);
    for (const { reply } of due) this.#deliver(reply);
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
