// The library: one forwarded port in a program's own process, by the same rules as a tunnel of the file, without a supervisor.
// Host keys are looked up, and new ones stored, where `tunnel` does it; nothing else is left behind.
import { fileURLToPath } from 'node:url';
import { loadText } from './config/load.ts';
import { asTunnelError, TunnelError, type Hint } from './errors.ts';
import { prepareTrustFolder } from './files/folders.ts';
import { processFacts } from './files/process-facts.ts';
import { createCarrier } from './forward/create.ts';
import { systemClock } from './model/clock.ts';
import { callerEnvironment } from './model/environment.ts';
import type { PendingQuestion } from './model/question.ts';
import { Secret } from './model/secret.ts';
import type { TunnelStatus } from './model/status.ts';
import { placesOf } from './paths.ts';
import { hintText } from './render/error.ts';
import { openSsh } from './ssh/parts.ts';
import type { Engine } from './supervisor/engine.ts';
import { createEngine } from './supervisor/supervisor.ts';

export { TunnelError };
export type { ErrorCode } from './errors.ts';
export type { TunnelStatus } from './model/status.ts';

/** Settings by the names and in the words of tunnels.yaml: `identity`, `jump`, `host_keys`, `keepalive`, … */
export type Settings = Readonly<Record<string, unknown>>;

/** A tunnel as it stands below `tunnels:` in the file; any host key may stand here too. */
export interface TunnelSettings extends Settings {
  /** A name of `hosts`, else an alias of ssh_config, else `[user@]host[:port]`. */
  readonly host: string;
  /** What to reach, as the server sees it: HOST:PORT, PORT (= 127.0.0.1), or /path.sock. */
  readonly remote: string | number;
  /** Where to listen: PORT, HOST:PORT, /path.sock, or `auto` (the default): a free port of 127.0.0.1. */
  readonly local?: string | number;
}

export interface OpenOptions {
  /** SSH servers by name, as below `hosts:` in the file. */
  readonly hosts?: Readonly<Record<string, Settings>>;
  /** How long to wait until it serves, in milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
  /** Gives up the waiting, and closes. */
  readonly signal?: AbortSignal;
  /** Store an unknown host key without asking, this once. Default false. A changed key is refused always. */
  readonly acceptNew?: boolean;
  /**
   * Answers what only a person knows; null declines. For `host-key` the answer is "yes" or the fingerprint. Without it whatever
   * needs an answer is an error.
   */
  readonly ask?: (question: Question) => Promise<string | null> | string | null;
  /** What happens, a line each: what the supervisor would write into its log. */
  readonly log?: (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;
  /** Where `env:NAME`, SSH_AUTH_SOCK and the environment of commands come from. Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** What a login wants to know from a person. */
export interface Question {
  readonly kind: 'host-key' | 'passphrase' | 'password' | 'prompt';
  /** user@hostname:port of the server that it is about. */
  readonly endpoint: string;
  readonly text: string;
  /** False: the answer is to be typed unseen. */
  readonly echo: boolean;
  /** SHA256:… of an unknown host key; null for the other kinds. */
  readonly fingerprint: string | null;
}

/** A port that is there until `close`, through every outage, as after `tunnel up`. */
export interface OpenTunnel extends AsyncDisposable {
  /** "127.0.0.1:40123", or the path of a socket. */
  readonly address: string;
  /** "127.0.0.1"; null for a socket. */
  readonly host: string | null;
  /** Null for a socket. */
  readonly port: number | null;
  /** The tunnel as `tunnel status --json` tells it. */
  status(): TunnelStatus;
  /** Is called when its state, or the reason for it, has changed. Returns how to stop that. */
  onChange(listener: (status: TunnelStatus) => void): () => void;
  /** Closes the port, resets what still runs over it, and ends the SSH connection. Idempotent. */
  close(): Promise<void>;
}

const defaultTimeoutMs = 30_000;
const name = 'tunnel';

/**
 * Opens a tunnel and waits until it serves.
 * @throws TunnelError with the `code` that the command would tell (CONFIG_INVALID, UNREACHABLE, AUTH_REFUSED, HOST_KEY_CHANGED, …);
 *   everything is closed then
 */
export async function openTunnel(settings: TunnelSettings, options: OpenOptions = {}): Promise<OpenTunnel> {
  const engine = await prepare(settings, options);
  const close = (): Promise<void> => engine.close(0);
  try {
    await serve(engine, options);
  } catch (thrown) {
    await close();
    throw forPrograms(asTunnelError(thrown));
  }
  return opened(engine, close);
}

/** What to do about an error, fit to paste into a terminal; null where nothing is known to help. */
export function hintOf(error: TunnelError): string | null {
  return error.hint === null ? null : hintText(error.hint);
}

/** Commands of the hint mean tunnels of the file, which this is none of: only the way to trust a host key is one for it too. */
function forPrograms(error: TunnelError): TunnelError {
  const { code, message, hint, facts } = error;
  if (hint === null || typeof hint === 'string') return error;
  const endpoint = code.startsWith('HOST_KEY_') && 'endpoint' in facts ? facts.endpoint : undefined;
  const way: Hint | null =
    endpoint === undefined
      ? null
      : { command: code === 'HOST_KEY_CHANGED' ? 'trust --replace' : 'trust', on: { host: endpoint } };
  return new TunnelError(code, message, { hint: way, facts: facts as never, cause: error });
}

async function prepare(settings: TunnelSettings, { hosts, log, env }: OpenOptions): Promise<Engine> {
  const facts = { ...processFacts(), ...(env === undefined ? {} : { env: { ...env } }) };
  const places = placesOf(facts);
  const { type, ...others } = settings as TunnelSettings & { readonly type?: unknown };
  if (type !== undefined && type !== 'local')
    throw new TunnelError('CONFIG_INVALID', 'openTunnel opens a local port: it takes no other type', {});
  const tunnel = { local: 'auto', ...others };
  const text = JSON.stringify({ hosts: hosts ?? {}, tunnels: { [name]: tunnel } }, null, 1); // JSON is YAML
  const config = await loadText('openTunnel', text, facts);
  const told = (level: 'debug' | 'info' | 'warn' | 'error', _event: string, message: string): void =>
    log?.(level, message);
  const writable = prepareTrustFolder(places, facts);
  const { dialer } = openSsh({
    facts,
    places,
    clock: systemClock,
    log: told,
    program: [process.execPath, fileURLToPath(new URL('../bin/tunnel.js', import.meta.url))],
    project: false,
    config: () => config,
    writable,
  });
  const engine = createEngine({
    dialer,
    createCarrier,
    clock: systemClock,
    random: Math.random,
    log: told,
    ports: {},
  });
  await engine.apply(config, { prune: false });
  return engine;
}

async function serve(engine: Engine, options: OpenOptions): Promise<void> {
  const { timeoutMs = defaultTimeoutMs, signal, acceptNew = false, ask, env = process.env } = options;
  const limit = AbortSignal.timeout(timeoutMs);
  const unattended = ask === undefined ? () => undefined : attend(engine, ask);
  try {
    engine.up([name], {
      acceptNew,
      environment: callerEnvironment(env),
      remap: false,
      personPresent: ask !== undefined,
    });
    const error = await engine.settled(name, signal === undefined ? limit : AbortSignal.any([limit, signal]));
    signal?.throwIfAborted();
    if (error !== null) throw error;
  } finally {
    unattended();
  }
}

/** Lets the caller answer in a person's stead. */
function attend(engine: Engine, ask: NonNullable<OpenOptions['ask']>): () => void {
  const answer = async (question: PendingQuestion): Promise<void> => {
    const { kind, endpoint, text, echo, fingerprint } = question;
    const given = await Promise.resolve(ask({ kind, endpoint, text, echo, fingerprint })).catch(() => null);
    engine.answer(question.id, given === null ? null : new Secret(given));
  };
  return engine.attend([name], {
    question: (question) => void answer(question),
    withdrawn: () => undefined,
    banner: () => undefined,
  });
}

function opened(engine: Engine, close: () => Promise<void>): OpenTunnel {
  const status = (): TunnelStatus => {
    const [tunnel] = engine.status([name]);
    if (tunnel === undefined) throw new TunnelError('NO_SUCH_TUNNEL', 'the tunnel is closed', {});
    return tunnel;
  };
  const address = status().forwards[0]?.listen ?? '';
  const [, host = null, port = null] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? [];
  let closing: Promise<void> | null = null;
  const closeOnce = (): Promise<void> => (closing ??= close());
  return {
    address,
    host,
    port: port === null ? null : Number(port),
    status,
    onChange: (listener) => engine.onChange(() => listener(status())),
    close: closeOnce,
    [Symbol.asyncDispose]: closeOnce,
  };
}
