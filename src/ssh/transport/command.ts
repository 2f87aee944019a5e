// ProxyCommand: a program whose standard input and output are the connection. Killed, with what it started, at the end.
// The program may wait for a person (a log-in in a browser): only the person bounds that, and no second program is started
// meanwhile.
import { Duplex, type Readable } from 'node:stream';
import { TunnelError } from '../../errors.ts';
import { NotStarted, signalGroup, startPiped, type PipedChild, boundedLines } from '../../files/child.ts';
import { abortable } from '../../model/give-up.ts';
import { cleanText } from '../../model/clean.ts';
import type { Cancel, Clock } from '../../model/clock.ts';
import { formatHop, type Host } from '../../model/host.ts';
import type { DialContext } from '../../model/session.ts';
import { readCommandLine, tokenWords, type CommandLine, type LocalUser } from '../../model/proxy-command.ts';

export interface CommandParts {
  readonly local: LocalUser;
  readonly clock: Clock;
  /** The environment of whoever brings the tunnel up. */
  readonly variables: Readonly<Record<string, string>>;
  /** Names of variables that hold secrets: not for the command. */
  readonly withheld: ReadonlySet<string>;
  readonly log: NonNullable<DialContext['log']>;
  readonly turns: CommandTurns;
  readonly signal: AbortSignal;
  /** A line of its standard error, clean. */
  readonly talk: (line: string) => void;
  /** The server's first bytes are here. */
  readonly reached: () => void;
}

/** Throws CONFIG_INVALID for what the config was not refused for: a name that came from elsewhere since. */
export function commandLine(host: Host, command: string, local: LocalUser): CommandLine {
  const line = readCommandLine(host, command, local);
  if ('problem' in line) throw badCommand(host, line.problem);
  return line;
}

function badCommand(host: Host, why: string): TunnelError {
  return new TunnelError('CONFIG_INVALID', `proxy command failed, on ${host.name}: ${why}`, {
    hint: `tokens are ${tokenWords}`,
  });
}

/**
 * Starts the command, once no other one like it may be waiting for a person. Throws UNREACHABLE when it cannot be started,
 * or the signal's reason.
 */
export async function commandStream(
  host: Host,
  command: string,
  parts: CommandParts,
): Promise<CommandStream> {
  const { argv } = commandLine(host, command, parts.local);
  const env = Object.fromEntries(
    Object.entries(parts.variables).filter(([name]) => !parts.withheld.has(name)),
  );
  const over = await parts.turns.take(JSON.stringify(argv), parts.signal);
  try {
    parts.signal.throwIfAborted();
    return new CommandStream(host, await startPiped(argv, env), parts, over);
  } catch (thrown) {
    over(false);
    if (!(thrown instanceof NotStarted)) throw thrown;
    throw commandFailed(host, `cannot start ${argv[0]}: ${thrown.message}`, 'tcp');
  }
}

/** Commands that have not brought a byte of the server yet, by their words. */
export interface CommandTurns {
  /**
   * Resolves when this command may be started: what it answers is called when the server's first byte is there (true), or
   * when the command has ended without one. Where it got through, all that waited go at once; else one of them goes next.
   */
  take(command: string, signal: AbortSignal): Promise<(reached: boolean) => void>;
}

export function createCommandTurns(): CommandTurns {
  const ahead = new Map<string, Promise<boolean>>();
  return {
    async take(command, signal) {
      for (let first = ahead.get(command); first !== undefined; first = ahead.get(command)) {
        if (await abortable(first, signal)) return () => undefined;
      }
      let over: (reached: boolean) => void = () => undefined;
      const end = new Promise<boolean>((resolve) => (over = resolve));
      ahead.set(command, end);
      return (reached) => {
        if (ahead.get(command) === end) ahead.delete(command);
        over(reached);
      };
    },
  };
}

function commandFailed(host: Host, why: string, layer: 'tcp' | 'kex', timedOut = false): TunnelError {
  return new TunnelError(
    timedOut ? 'TIMED_OUT' : 'UNREACHABLE',
    `proxy command failed, on ${formatHop(host)}: ${why}`,
    { hint: { command: 'logs', note: 'what the command said' }, facts: { layer, tcpLevel: false } },
  );
}

/** How long a command may take to leave after it was asked to. */
const graceMs = 1000;

/** Characters of one line of its standard error. */
const lineLimit = 8192;

/** A question without a line end is one all the same, once nothing has followed for so long. */
const lineWaitMs = 200;

/**
 * Lines of its standard error that are told in a second. One that says more is read no faster than that, and the rest is
 * counted: a supervisor that took the words of a command that never ends had no time for anybody else.
 */
const mostLines = 100;
const secondMs = 1000;

/** How long after the end of its output a command's own end, with its reason, is waited for. */
const lastWordsMs = 250;

/** A command that has said nothing to anybody for so long waits for nobody. */
const silenceMs = 120_000;

export class CommandStream extends Duplex {
  readonly #host: Host;
  readonly #child: PipedChild;
  readonly #parts: CommandParts;
  readonly #over: (reached: boolean) => void;
  #lastWords = '';
  /** The last line that was counted only. */
  #untold = '';
  #reached = false;
  #dismissed = false;
  #cancelEnd: Cancel = () => undefined;
  #cancelSilence: Cancel = () => undefined;

  constructor(host: Host, child: PipedChild, parts: CommandParts, over: (reached: boolean) => void) {
    super({ allowHalfOpen: true, readableHighWaterMark: 256 * 1024, writableHighWaterMark: 256 * 1024 });
    this.#host = host;
    this.#child = child;
    this.#parts = parts;
    this.#over = over;
    child.stdout.on('data', (chunk: Buffer) => {
      this.#said(true);
      if (!this.push(chunk)) child.stdout.pause();
    });
    child.stdout.on('error', () => undefined); // the exit says more
    // nc ends its output when the server is gone and waits for us; a command that leaves has more to say in 'close'
    child.stdout.once('end', () => {
      this.#cancelEnd();
      this.#cancelEnd = parts.clock.schedule(lastWordsMs, () => void this.push(null));
    });
    child.stdin.on('error', () => undefined); // EPIPE when it has left: the exit says more
    this.#listen(child.stderr);
    child.once('exit', (code, signal) => this.#exited(code, signal));
    // 'close' comes after the last byte of both outputs, so that the reason is complete
    child.once('close', (code, signal) => this.#ended(code, signal));
    if (host.firstWordsMs === null)
      this.#cancelSilence = parts.clock.schedule(silenceMs, () =>
        this.destroy(commandFailed(host, `it said nothing in ${silenceMs / 60_000} min`, 'tcp', true)),
      );
  }

  /** The last complaint of the command; empty for none. */
  get lastWords(): string {
    return cleanText(this.#untold).slice(0, 500) || this.#lastWords;
  }

  #listen(stderr: Readable): void {
    const { clock, log } = this.#parts;
    let cancelLine: Cancel = () => undefined;
    let cancelSecond: Cancel | null = null;
    let count = 0;
    const lines = boundedLines(lineLimit, (line) => {
      count += 1;
      if (count <= mostLines) this.#tell(line);
      else this.#untold = line;
    });
    const second = (): void => {
      cancelSecond = null;
      const more = count - mostLines;
      if (more > 0) log('info', 'proxy-command', `${this.#host.name}: … (${more} more lines)`);
      count = 0;
      stderr.resume();
    };
    stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.#said(false);
      cancelLine();
      lines.feed(chunk);
      cancelLine = clock.schedule(lineWaitMs, () => lines.end());
      cancelSecond ??= clock.schedule(secondMs, second);
      if (count > mostLines) stderr.pause();
    });
    stderr.once('close', () => {
      cancelLine();
      cancelSecond?.();
      lines.end();
    });
    stderr.on('error', () => undefined);
  }

  #tell(line: string): void {
    const clean = cleanText(line);
    this.#untold = '';
    this.#lastWords = clean.slice(0, 500) || this.#lastWords;
    this.#parts.log('info', 'proxy-command', `${this.#host.name}: ${clean}`);
    if (clean !== '') this.#parts.talk(clean);
  }

  #said(byServer: boolean): void {
    this.#cancelSilence();
    if (!byServer || this.#reached) return;
    this.#reached = true;
    this.#over(true);
    this.#parts.reached();
  }

  /** The whole group: a shell's children too. What it leaves behind would hold the connection open, or stay for ever. */
  #dismiss(): void {
    if (this.#dismissed) return;
    this.#dismissed = true;
    signalGroup(this.#child, 'SIGTERM');
    this.#parts.clock.schedule(graceMs, () => signalGroup(this.#child, 'SIGKILL'));
  }

  /** Somebody outside its group may hold its output for ever; what is in there already is not lost. */
  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    this.#dismiss();
    const give = (): void => {
      if (this.#child.stdout.isPaused()) this.#cancelEnd = this.#parts.clock.schedule(graceMs, give);
      else this.#ended(code, signal);
    };
    this.#cancelEnd();
    this.#cancelEnd = this.#parts.clock.schedule(graceMs + lastWordsMs, give);
  }

  #ended(code: number | null, signal: NodeJS.Signals | null): void {
    this.#cancelEnd();
    if (this.destroyed) return;
    const how = signal === null ? `ended with code ${code ?? 'unknown'}` : `was ended by ${signal}`;
    const words = this.lastWords;
    const said = words === '' ? '' : `: ${words}`;
    this.destroy(commandFailed(this.#host, `it ${how}${said}`, this.#reached ? 'kex' : 'tcp'));
  }

  override _read(): void {
    this.#child.stdout.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  #send(chunk: Buffer, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(chunk, () => done()); // its death is told by 'close'
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#child.stdin.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#cancelEnd();
    this.#cancelSilence();
    this.#over(this.#reached);
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
    this.#dismiss();
    done(error);
  }
}
