// ProxyCommand: a program whose standard input and output are the connection. Killed, with what it started, at the end.
import { Duplex } from 'node:stream';
import { TunnelError } from '../errors.ts';
import { NotStarted, signalGroup, startPiped, type PipedChild } from '../files/child.ts';
import { cleanText } from '../model/clean.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { formatAddress, type Host } from '../model/host.ts';
import { boundedLines } from './bounded-lines.ts';
import type { TransportLog } from './transport.ts';

/** This side, as the tokens of ssh_config(5) tell of it. */
export interface LocalUser {
  readonly user: string;
  readonly uid: number;
  /** By the passwd entry where there is one, as for ssh. */
  readonly home: string;
  readonly hostname: string;
}

export interface CommandParts {
  readonly local: LocalUser;
  readonly clock: Clock;
  /** The environment of whoever brings the tunnel up. */
  readonly variables: Readonly<Record<string, string>>;
  /** Names of variables that hold secrets: not for the command. */
  readonly withheld: ReadonlySet<string>;
  readonly log: TransportLog;
}

export interface CommandLine {
  readonly argv: readonly [string, ...string[]];
  /** True when the command needs a shell to mean what it says. */
  readonly shell: boolean;
}

/** Tokens of ProxyCommand (ssh_config(5), TOKENS), with those that other keys know and people use here too. */
function tokensOf(host: Host, local: LocalUser): Readonly<Record<string, string>> {
  return {
    '%': '%',
    h: host.hostname,
    k: host.hostKeyAlias ?? host.hostname,
    n: host.name,
    p: String(host.port),
    r: host.user,
    u: local.user,
    i: String(local.uid),
    d: local.home,
    l: local.hostname,
    L: local.hostname.split('.')[0] ?? '',
  };
}

/** What a shell would take for more than a letter. */
const shellWords = /[|&;<>()$`\\"'*?[\]#~{}!\n]|(?:^|\s)[A-Za-z_]\w*=/;

/**
 * The command with its tokens filled in: as an argument vector where no shell is needed, else for `sh -c`, with `exec`
 * as OpenSSH does, so that what we kill is the command. Throws CONFIG_INVALID.
 */
export function commandLine(host: Host, command: string, local: LocalUser): CommandLine {
  const tokens = tokensOf(host, local);
  const shell = shellWords.test(command);
  const fill = (text: string): string =>
    text.replace(/%(.?)/gs, (_, letter: string) => {
      const value = tokens[letter];
      if (value === undefined) throw badCommand(host, command, `it has no token %${letter}`);
      // a name is a name here, never an option, and never something a shell acts on
      if (value.startsWith('-') || (shell && letter !== '%' && !/^[\w.:@+/,-]*$/.test(value)))
        throw badCommand(host, command, `%${letter} would become ${JSON.stringify(cleanText(value))}`);
      return value;
    });
  const assigns = /^\s*[A-Za-z_]\w*=/.test(command); // exec would take that for a program
  if (shell) return { argv: ['/bin/sh', '-c', `${assigns ? '' : 'exec '}${fill(command)}`], shell };
  const [program, ...rest] = command.trim().split(/\s+/).map(fill);
  if (program === undefined || program === '') throw badCommand(host, command, 'it is empty');
  return { argv: [program, ...rest], shell };
}

function badCommand(host: Host, command: string, why: string): TunnelError {
  return new TunnelError(
    'CONFIG_INVALID',
    `proxy command failed, on ${host.name}: ${why} in ${JSON.stringify(command)}`,
    {
      hint: 'tokens are %h (host name), %p (port), %r (user), %n (name given), %u (your user), %% (a percent sign)',
    },
  );
}

/** Starts the command. Throws UNREACHABLE when it cannot be started. */
export async function commandStream(host: Host, command: string, parts: CommandParts): Promise<Duplex> {
  const { argv } = commandLine(host, command, parts.local);
  const env = Object.fromEntries(
    Object.entries(parts.variables).filter(([name]) => !parts.withheld.has(name)),
  );
  try {
    return new CommandStream(host, await startPiped(argv, env), parts);
  } catch (thrown) {
    if (!(thrown instanceof NotStarted)) throw thrown;
    throw commandFailed(host, `cannot start ${argv[0]}: ${thrown.message}`);
  }
}

function commandFailed(host: Host, why: string): TunnelError {
  return new TunnelError('UNREACHABLE', `proxy command failed, on ${formatAddress(host)}: ${why}`, {
    hint: `tunnel logs    # what the command said`,
    facts: { layer: 'tcp', tcpLevel: false },
  });
}

/** How long a command may take to leave after it was asked to. */
const graceMs = 1000;

/** Characters of one line of its standard error. */
const lineLimit = 8192;

/** How long after the end of its output a command's own end, with its reason, is waited for. */
const lastWordsMs = 250;

class CommandStream extends Duplex {
  readonly #child: PipedChild;
  readonly #parts: CommandParts;
  #lastWords = '';
  #exited = false;
  #cancelEnd: Cancel | null = null;

  constructor(host: Host, child: PipedChild, parts: CommandParts) {
    super({ allowHalfOpen: true, readableHighWaterMark: 256 * 1024, writableHighWaterMark: 256 * 1024 });
    this.#child = child;
    this.#parts = parts;
    child.stdout.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) child.stdout.pause();
    });
    child.stdout.on('error', () => undefined); // the exit says more
    // nc ends its output when the server is gone and waits for us; a command that leaves has more to say in 'close'
    child.stdout.once('end', () => {
      this.#cancelEnd = parts.clock.schedule(lastWordsMs, () => void this.push(null));
    });
    child.stdin.on('error', () => undefined); // EPIPE when it has left: the exit says more
    const lines = boundedLines(lineLimit, (line) => {
      this.#lastWords = cleanText(line).slice(0, 500) || this.#lastWords;
      parts.log('info', 'proxy-command', `${host.name}: ${cleanText(line)}`);
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => lines.feed(chunk));
    child.stderr.once('end', () => lines.end()).on('error', () => undefined);
    // 'close' comes after the last byte of both outputs, so that the reason is complete
    child.once('close', (code, signal) => {
      this.#exited = true;
      this.#cancelEnd?.();
      if (this.destroyed) return;
      const how = signal === null ? `ended with code ${code ?? 'unknown'}` : `was ended by ${signal}`;
      const said = this.#lastWords === '' ? '' : `: ${this.#lastWords}`;
      this.destroy(commandFailed(host, `the command ${how}${said}`));
    });
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
    this.#child.stdin.destroy();
    this.#child.stdout.destroy();
    this.#cancelEnd?.();
    this.#end('SIGTERM');
    if (!this.#exited) this.#parts.clock.schedule(graceMs, () => this.#end('SIGKILL'));
    done(error);
  }

  /** The whole group: a shell's children too. */
  #end(signal: NodeJS.Signals): void {
    if (!this.#exited) signalGroup(this.#child, signal);
  }
}
