// The metrics server (`metrics: HOST:PORT`): /metrics for Prometheus, /healthz and /readyz for whoever restarts or routes; and the
// page, which is loaded only where it is asked for.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { TunnelError } from '../errors.ts';
import { errnoWords } from '../files/errno.ts';
import { holderOf } from '../forward/tcp-table.ts';
import { systemClock, type Cancel, type Clock } from '../model/clock.ts';
import { formatHostPort, isLoopback, tcp } from '../model/endpoint.ts';
import { metricFamilies, prometheusText } from '../model/prometheus.ts';
import {
  failedProbe,
  isReady,
  meantByDefault,
  type StatusDocument,
  type TunnelStatus,
} from '../model/status.ts';
import type { MetricsAddress } from '../model/tunnel.ts';
import type { EngineLog } from '../supervisor/engine.ts';
import type { Page } from './page.ts';

const retryMs = 5_000;

export interface MetricsParts {
  readonly document: () => StatusDocument;
  readonly log: EngineLog;
  readonly clock?: Clock;
  /** Loads the page; absent where there is none. */
  readonly openPage?: () => Promise<Page>;
}

export class MetricsServer {
  readonly #parts: MetricsParts;
  readonly #log: EngineLog;
  readonly #clock: Clock;
  #page: Page | null = null;
  #wanted: MetricsAddress | null = null;
  #server: Server | null = null;
  #at: MetricsAddress | null = null;
  #error: TunnelError | null = null;
  #cancelRetry: Cancel = () => undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: MetricsParts) {
    this.#parts = parts;
    this.#log = parts.log;
    this.#clock = parts.clock ?? systemClock;
  }

  /** The address served, with the port that the system chose; null for none. */
  get at(): MetricsAddress | null {
    return this.#at;
  }

  /** Why the wanted address is not served; null when it is. */
  get error(): TunnelError | null {
    return this.#error;
  }

  /** The URL of the page; null where none is served. */
  get page(): string | null {
    return this.#page === null || this.#at === null ? null : `${this.#url(this.#at)}/`;
  }

  /**
   * Serves this address from now on; null: none. A failure to bind is logged, and the bind tried again every 5 s. Answers a
   * sentence a change.
   */
  serve(at: MetricsAddress | null): Promise<readonly string[]> {
    const done = this.#turn.then(async () => {
      const before = this.#sentences();
      await this.#change(at);
      return this.#sentences().filter((sentence, index) => sentence !== before[index]);
    });
    this.#turn = done;
    return done;
  }

  async close(): Promise<void> {
    await this.serve(null);
  }

  #sentences(): readonly string[] {
    const at = this.#at === null ? 'metrics are not served' : `metrics at ${this.#url(this.#at)}/metrics`;
    return [at, this.page === null ? 'no page is served' : `the page is at ${this.page}`];
  }

  #url({ host, port }: MetricsAddress): string {
    return `http://${formatHostPort(host, port)}`;
  }

  async #change(at: MetricsAddress | null): Promise<void> {
    await this.#changePage(at?.page === true);
    const isServed =
      this.#server !== null && at?.host === this.#wanted?.host && at?.port === this.#wanted?.port;
    if (isServed) return;
    await this.#stop();
    this.#wanted = at;
    if (at === null) this.#error = null;
    else await this.#start(at);
  }

  async #changePage(isWanted: boolean): Promise<void> {
    if (isWanted === (this.#page !== null)) return;
    this.#page?.close();
    this.#page = null;
    try {
      if (isWanted) this.#page = (await this.#parts.openPage?.()) ?? null;
    } catch (thrown) {
      const { message } = thrown as Error;
      this.#log('error', 'metrics', `the page cannot be served: ${message}`);
    }
  }

  async #stop(): Promise<void> {
    const old = this.#server;
    this.#server = null;
    this.#at = null;
    this.#cancelRetry();
    if (old === null) return;
    await new Promise<void>((resolve) => {
      old.close(() => resolve());
      old.closeAllConnections();
    });
  }

  async #start(at: MetricsAddress): Promise<void> {
    const fresh = createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, (request, response) =>
      isAddressed(request, at.host) ? this.#answer(request, response) : misdirected(response),
    );
    boundConnections(fresh);
    try {
      await new Promise<void>((resolve, reject) => {
        fresh.once('error', reject);
        fresh.listen(at.port, at.host, resolve);
      });
    } catch (thrown) {
      return this.#failed(await unserved(at, thrown));
    }
    this.#error = null;
    fresh.on('error', (thrown) => this.#log('warn', 'metrics', thrown.message));
    const address = fresh.address();
    const port = typeof address === 'object' && address !== null ? address.port : at.port;
    this.#server = fresh;
    this.#at = { ...at, port };
    const page = this.page === null ? '' : `, the page on ${this.page}`;
    this.#log('info', 'metrics', `metrics on ${this.#url({ ...at, port })}/metrics${page}`);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    // A path only: anything else (a proxy's absolute form, nonsense) finds nothing.
    const [path = ''] = (request.url ?? '/').split('?', 1);
    if (isRead && this.#page?.answer(request, response, path) === true) return;
    answer(request, response, this.#parts.document);
  }

  #failed(failure: TunnelError): void {
    if (failure.message !== this.#error?.message)
      this.#log('error', 'metrics', failure.message, { code: failure.code });
    this.#error = failure;
    this.#cancelRetry = this.#clock.schedule(retryMs, () => {
      this.#turn = this.#turn.then(() => this.#change(this.#wanted));
    });
  }
}

/** Open at once. */
const mostConnections = 64;

/** One more ends the oldest: connections on which nobody asks must not keep out who asks whether we live. */
function boundConnections(server: Server): void {
  const open = new Set<{ destroy(): unknown }>();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    const [oldest] = open;
    if (open.size > mostConnections) oldest?.destroy();
  });
}

async function unserved({ host, port }: MetricsAddress, thrown: unknown): Promise<TunnelError> {
  const { code, message } = thrown as NodeJS.ErrnoException;
  const holder = code === 'EADDRINUSE' ? await holderOf(port).catch(() => null) : null;
  const by = holder === null ? '' : ` by ${holder.command} (pid ${holder.pid})`;
  const why = code === 'EADDRINUSE' ? `the port is in use${by}` : (errnoWords(code) ?? message);
  return new TunnelError(
    'LISTEN_FAILED',
    `metrics cannot be served, on ${formatHostPort(host, port)}: ${why}`,
    {
      cause: thrown,
    },
  );
}

/**
 * A page of somebody's site can have its name point to 127.0.0.1 and read what it finds there (DNS rebinding): on
 * loopback only requests for an address, localhost or the name in the config are ours. Beyond it any name may be right.
 */
function isAddressed({ headers }: IncomingMessage, listenHost: string): boolean {
  const { host } = headers;
  if (host === undefined || !isLoopback(tcp(listenHost, 0))) return true; // no browser leaves it out
  const name = host.replace(/:\d+$/, '').toLowerCase();
  const isIp = /^\d+\.\d+\.\d+\.\d+$|^\[[\da-f:.%]+\]$/.test(name); // no name ends in a number or has a colon
  return isIp || name === 'localhost' || name === listenHost.toLowerCase();
}

function misdirected(response: ServerResponse): void {
  response.writeHead(421, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
  response.end('asked for by a name that is not its own: use 127.0.0.1 or localhost\n');
}

function answer(request: IncomingMessage, response: ServerResponse, status: () => StatusDocument): void {
  const send = (code: number, text: string, type = 'text/plain; charset=utf-8'): void => {
    response.writeHead(code, { 'content-type': type, 'cache-control': 'no-store' });
    response.end(request.method === 'HEAD' ? undefined : text);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') return send(405, 'only GET\n');
  // A path only: anything else (a proxy's absolute form, nonsense) finds nothing.
  const [path = '', query = ''] = (request.url ?? '/').split('?', 2);
  switch (path) {
    case '/metrics':
      return send(200, prometheusText(metricFamilies(status())), 'text/plain; version=0.0.4; charset=utf-8');
    case '/healthz':
      return send(200, 'ok\n');
    case '/readyz':
      return ready(new URLSearchParams(query).getAll('tunnel'), status().tunnels, send);
    default:
      return send(404, 'there are /metrics, /healthz and /readyz\n');
  }
}

/** 200 when each named tunnel is ready; without a name each that is meant, by the rule of `status --check`. */
function ready(
  names: readonly string[],
  tunnels: readonly TunnelStatus[],
  send: (code: number, text: string) => void,
): void {
  const lost = names.find((name) => tunnels.every((tunnel) => tunnel.name !== name));
  if (lost !== undefined) return send(404, `no such tunnel: ${lost.slice(0, 100)}\n`);
  const meant =
    names.length === 0 ? meantByDefault(tunnels) : tunnels.filter(({ name }) => names.includes(name));
  if (meant.length === 0) return send(503, 'nothing is wanted\n');
  const waiting = meant.filter((tunnel) => !isReady(tunnel));
  if (waiting.length === 0) return send(200, 'ok\n');
  const why = (tunnel: TunnelStatus): string =>
    (tunnel.state === 'up' && failedProbe(tunnel)?.text) || tunnel.state;
  send(503, waiting.map((tunnel) => `${tunnel.name} ${why(tunnel)}\n`).join(''));
}
