// A line in user space between the tunnel and a server, whose faults are made for real: bytes that come late, slowly, one by
// one, or not at all, connections that are cut after so many bytes, reset, or refused.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { resetSocket } from '../src/model/reset-socket.ts';
import type { Direction } from './schedule.ts';

/** What the line does to bytes right now. */
export interface LineState {
  delayMs: number;
  bytesPerSecond: number;
  /** So many bytes more go one by one. */
  readonly trickle: Record<Direction, number>;
  readonly frozen: Set<Direction>;
  cut: Cut | null;
}

export interface Cut {
  bytesLeft: number;
  readonly how: 'reset' | 'end';
  /** The line's connections have just been ended. */
  readonly done: () => void;
}

export interface Line extends AsyncDisposable {
  readonly port: number;
  /** Changes what the line does; bytes that may now go on do. */
  change(change: (state: LineState) => void): void;
  /** No byte moves any more on the connections that there are now; returns what lets them go on. */
  freezeOld(directions: readonly Direction[]): () => void;
  /** Ends every connection, both ends of it. */
  end(how: 'reset' | 'end'): void;
  /** Closes the port and resets every connection. */
  refuse(): Promise<void>;
  /** Opens the port again. */
  accept(): Promise<void>;
  readonly connections: number;
}

/** A line may hold so many bytes a direction and connection, as buffers of a network do. */
const bufferBytes = 256 * 1024;
/** At a low rate bytes go in portions of what the line carries in this time. */
const portionMs = 20;

export async function openLine(port: number, serverPort: number): Promise<Line> {
  const state: LineState = {
    delayMs: 0,
    bytesPerSecond: Infinity,
    trickle: { up: 0, down: 0 },
    frozen: new Set(),
    cut: null,
  };
  const pairs = new Set<Pair>();
  const end = (how: 'reset' | 'end'): void => {
    for (const pair of pairs) pair.end(how);
  };
  const context: LineContext = {
    state,
    sent(bytes) {
      const { cut } = state;
      if (cut === null || (cut.bytesLeft -= bytes) > 0) return;
      state.cut = null;
      end(cut.how);
      cut.done();
    },
  };
  const listen = (): Promise<Server> =>
    listening(port, (socket) => {
      const pair = new Pair(socket, serverPort, context, () => pairs.delete(pair));
      pairs.add(pair);
    });
  let server: Server | null = await listen();
  const refuse = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) =>
      server === null ? resolve() : server.close(() => resolve()),
    );
    server = null;
    end('reset');
    await closed;
  };
  return {
    port,
    change(change) {
      change(state);
      for (const pair of pairs) pair.drive();
    },
    freezeOld(directions) {
      const old = [...pairs];
      for (const pair of old) pair.freeze(directions);
      return () => {
        for (const pair of old) pair.thaw();
      };
    },
    end,
    refuse,
    async accept() {
      server ??= await listen();
    },
    get connections() {
      return pairs.size;
    },
    [Symbol.asyncDispose]: refuse,
  };
}

function listening(port: number, serve: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, serve);
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

interface LineContext {
  readonly state: LineState;
  readonly sent: (bytes: number) => void;
}

/** One connection of the line: the tunnel's socket, the server's, and a pump each way. */
class Pair {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #pumps: readonly Pump[];

  constructor(near: Socket, serverPort: number, context: LineContext, gone: () => void) {
    this.#near = near;
    this.#far = connect({ port: serverPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    this.#pumps = [
      new Pump('up', this.#near, this.#far, context),
      new Pump('down', this.#far, this.#near, context),
    ];
    let open = 2;
    for (const socket of [this.#near, this.#far])
      socket.once('close', () => {
        open -= 1;
        if (open === 0) gone();
      });
  }

  drive(): void {
    for (const pump of this.#pumps) pump.drive();
  }

  freeze(directions: readonly Direction[]): void {
    for (const pump of this.#pumps) pump.frozen = directions.includes(pump.direction);
  }

  thaw(): void {
    this.freeze([]);
    this.drive();
  }

  end(how: 'reset' | 'end'): void {
    for (const pump of this.#pumps) pump.stop();
    for (const socket of [this.#near, this.#far])
      if (how === 'reset') resetSocket(socket);
      else socket.destroySoon();
  }
}

/** One direction: what came in, when it may go on, and how the sender ended. */
class Pump {
  readonly direction: Direction;
  frozen = false;
  readonly #source: Socket;
  readonly #sink: Socket;
  readonly #context: LineContext;
  #queue: { chunk: Buffer; readonly dueMs: number }[] = [];
  #queued = 0;
  #full = false;
  #freeAtMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #isNext = false;
  #ending: 'none' | 'end' | 'reset' | 'done' = 'none';

  constructor(direction: Direction, source: Socket, sink: Socket, context: LineContext) {
    this.direction = direction;
    this.#source = source;
    this.#sink = sink;
    this.#context = context;
    source.on('data', (chunk) => this.#take(chunk));
    source.on('end', () => this.#end('end'));
    source.on('error', () => this.#end('reset'));
    source.on('close', () => this.#end('reset'));
    sink.on('drain', () => {
      this.#full = false;
      this.drive();
    });
  }

  stop(): void {
    this.#ending = 'done';
    this.#queue = [];
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #take(chunk: Buffer): void {
    this.#queue.push({ chunk, dueMs: performance.now() + this.#context.state.delayMs });
    this.#queued += chunk.length;
    if (this.#queued > bufferBytes) this.#source.pause();
    this.drive();
  }

  /** A reset overtakes what is under way; an end comes after it. */
  #end(how: 'end' | 'reset'): void {
    if (this.#ending !== 'none') return;
    this.#ending = how;
    this.drive();
  }

  drive(): void {
    if (this.#ending === 'done' || this.frozen || this.#context.state.frozen.has(this.direction)) return;
    if (this.#ending === 'reset') {
      this.stop();
      return resetSocket(this.#sink);
    }
    while (this.#step());
    if (this.#ending === 'end' && this.#queue.length === 0) {
      this.stop();
      this.#sink.end();
    }
  }

  /** Sends one portion; false when nothing can be sent now. */
  #step(): boolean {
    const [head] = this.#queue;
    if (head === undefined || this.#full) return false;
    const { state, sent } = this.#context;
    const now = performance.now();
    const waitMs = Math.max(head.dueMs, this.#freeAtMs) - now;
    if (waitMs > 0) return this.#later(waitMs);
    const isTrickle = state.trickle[this.direction] > 0;
    const portion = isTrickle ? 1 : Math.max(1, Math.round((state.bytesPerSecond * portionMs) / 1000));
    const size = Math.min(head.chunk.length, portion, state.cut?.bytesLeft ?? Infinity);
    const part = head.chunk.subarray(0, size);
    head.chunk = head.chunk.subarray(size);
    if (head.chunk.length === 0) this.#queue.shift();
    this.#queued -= size;
    if (this.#queued <= bufferBytes) this.#source.resume();
    this.#freeAtMs = now + (size / state.bytesPerSecond) * 1000;
    this.#full = !this.#sink.write(part);
    sent(size);
    if (!isTrickle) return true;
    state.trickle[this.direction] -= 1;
    return this.#later(0);
  }

  /** Node has no timer below a millisecond: what is due sooner goes in the next turn of the loop. */
  #later(ms: number): false {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const again = (): void => {
      this.#timer = null;
      this.#isNext = false;
      this.drive();
    };
    if (ms >= 1) this.#timer = setTimeout(again, ms);
    else if (!this.#isNext) setImmediate(again);
    this.#isNext = ms < 1;
    return false;
  }
}
