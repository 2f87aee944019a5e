// Agents: keys that live in another process (draft-ietf-sshm-ssh-agent): list them, have one sign. Socket or Windows pipe.
import { connect, type Socket } from 'node:net';
import type { Clock } from '../model/clock.ts';
import {
  AgentError,
  createAnswerReader,
  message,
  readKeys,
  readSignature,
  type AgentKey,
} from './agent-messages.ts';
import { wireBoolean, wireString, wireUint32 } from './wire.ts';

/** An open agent. Requests are answered in order; all fail once it is closed or breaks. */
export interface Agent {
  readonly path: string;
  list(): Promise<readonly AgentKey[]>;
  /** The signature blob as the agent made it (a security key's has more than two fields). */
  sign(blob: Buffer, bytes: Buffer, flags: number): Promise<Buffer>;
  /** Tells which connection the signatures are for: keys of `ssh-add -h` sign only then. False: refused or unknown. */
  bind(hostKey: Buffer, sessionId: Buffer, signature: Buffer): Promise<boolean>;
  close(): void;
}

/** SSH_AGENT_RSA_SHA2_256 and 512: which hash an RSA key signs with. */
export const agentFlags = { 'rsa-sha2-256': 2, 'rsa-sha2-512': 4 } as const;

const listLimitMs = 5000;
/** Long: the agent may ask its person to confirm, or a token to be touched. */
const signLimitMs = 90_000;

interface Waiting {
  resolve(answer: Buffer): void;
  reject(error: AgentError): void;
  cancel(): void;
}

/** Connects. Throws AgentError when nothing listens there. */
export async function openAgent(path: string, clock: Clock): Promise<Agent> {
  return new OpenAgent(path, await dial(path, clock), clock);
}

class OpenAgent implements Agent {
  readonly path: string;
  readonly #socket: Socket;
  readonly #clock: Clock;
  /** Callers in the order of their requests, which is that of the answers. */
  readonly #waiting: Waiting[] = [];
  #broken: AgentError | null = null;

  constructor(path: string, socket: Socket, clock: Clock) {
    this.path = path;
    this.#socket = socket;
    this.#clock = clock;
    const read = createAnswerReader((answer) => this.#take(answer));
    socket.on('data', (chunk: Buffer) => {
      if (!read(chunk)) this.#end('it does not speak the agent protocol');
    });
    socket.once('close', () => this.#end('it closed the connection'));
  }

  async list(): Promise<readonly AgentKey[]> {
    return readKeys(await this.#ask(message.list, Buffer.alloc(0), listLimitMs));
  }

  async sign(blob: Buffer, bytes: Buffer, flags: number): Promise<Buffer> {
    const body = Buffer.concat([wireString(blob), wireString(bytes), wireUint32(flags)]);
    const answer = await this.#ask(message.sign, body, signLimitMs);
    return readSignature(answer);
  }

  async bind(hostKey: Buffer, sessionId: Buffer, signature: Buffer): Promise<boolean> {
    const body = [
      wireString('session-bind@openssh.com'),
      wireString(hostKey),
      wireString(sessionId),
      wireString(signature),
      wireBoolean(false),
    ];
    const answer = await this.#ask(message.extension, Buffer.concat(body), listLimitMs);
    return answer[0] === message.success;
  }

  close(): void {
    this.#end('it was closed');
  }

  #ask(type: number, body: Buffer, limitMs: number): Promise<Buffer> {
    if (this.#broken !== null) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => {
      const late = (): void => this.#end(`it did not answer within ${limitMs / 1000}s`);
      this.#waiting.push({ resolve, reject, cancel: this.#clock.schedule(limitMs, late) });
      this.#socket.write(Buffer.concat([wireUint32(1 + body.length), Buffer.from([type]), body]));
    });
  }

  #take(answer: Buffer): void {
    const caller = this.#waiting.shift();
    // nobody asked: whoever asks next would take it for the answer
    if (caller === undefined) return this.#end('it does not speak the agent protocol');
    caller.cancel();
    caller.resolve(answer);
  }

  #end(why: string): void {
    this.#broken ??= new AgentError(why);
    for (const caller of this.#waiting.splice(0)) {
      caller.cancel();
      caller.reject(this.#broken);
    }
    this.#socket.destroy();
  }
}

function dial(path: string, clock: Clock): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const cancel = clock.schedule(listLimitMs, () => {
      socket.destroy();
      reject(new AgentError(`it did not answer within ${listLimitMs / 1000}s`));
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      cancel();
      reject(new AgentError(error.code === 'ENOENT' ? 'its socket is gone' : 'nothing answers there'));
    });
    socket.once('connect', () => {
      cancel();
      socket.removeAllListeners('error');
      socket.on('error', () => socket.destroy()); // 'close' tells whoever waits
      resolve(socket);
    });
  });
}
