// The page of the metrics address: GET / gives the page, GET /events what changes. Loaded only where the config asks for it.
// Read-only: nothing that a browser sends changes anything.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { localEnds } from '../config/local-ends.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { HistoryLine } from '../model/history.ts';
import { openable } from '../model/open-url.ts';
import { sampleMs } from '../model/page.ts';
import type { StatusDocument } from '../model/status.ts';
import type { Engine } from '../supervisor/engine.ts';
import { PageFeed, type Seen } from './page-feed.ts';

export interface PageParts {
  readonly engine: Pick<Engine, 'examine' | 'onChange'>;
  readonly document: () => StatusDocument;
  readonly history: () => readonly HistoryLine[];
  readonly clock: Clock;
  /** The page; by default the one that was built beside this program. */
  readonly text?: string;
}

export interface Page {
  /** False for a path that is not of the page. */
  answer(request: IncomingMessage, response: ServerResponse, path: string): boolean;
  close(): void;
}

/** Throws where the page was not built. */
export function openPage(parts: PageParts): Page {
  const text = parts.text ?? readFileSync(new URL('./page.html', import.meta.url), 'utf8');
  const policy = policyOf(text);
  const viewers = new Viewers(parts);
  return {
    answer(request, response, path) {
      if (path === '/events') viewers.answer(request, response);
      else if (path === '/') sendPage(request, response, { text, policy });
      else return false;
      return true;
    },
    close: () => viewers.close(),
  };
}

/** Only this very script and style run, and nothing is loaded from anywhere (CSP Level 3, 8.4: what stands between the tags). */
function policyOf(text: string): string {
  const hashes = (tag: string): string =>
    [...text.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, 'gs'))]
      .map(([, inside = '']) => `'sha256-${createHash('sha256').update(inside).digest('base64')}'`)
      .join(' ');
  return [
    "default-src 'none'",
    "connect-src 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    `script-src ${hashes('script')}`,
    `style-src ${hashes('style')}`,
  ].join('; ');
}

const always = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

function sendPage(
  { method }: IncomingMessage,
  response: ServerResponse,
  { text, policy }: { readonly text: string; readonly policy: string },
): void {
  const headers = {
    ...always,
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': policy,
  };
  response.writeHead(200, headers);
  response.end(method === 'HEAD' ? undefined : text);
}

const mostViewers = 8;
/** Changes within this time are one event. */
const joinMs = 500;
/** To all viewers together. */
const bytesPerMs = 1000;
/** A browser that lost us tries again after so long. */
const retryMs = 2000;

class Viewers {
  readonly #parts: PageParts;
  readonly #feed: PageFeed;
  /** In the order in which they are served next. */
  readonly #viewers = new Map<ServerResponse, Seen | null>();
  readonly #uncall: Cancel;
  #cancelSample: Cancel;
  #cancelTurn: Cancel | null = null;
  /** All that was sent so far is paid for then. */
  #freeAtMs = 0;

  constructor(parts: PageParts) {
    this.#parts = parts;
    const { engine, document, history, clock } = parts;
    this.#feed = new PageFeed({ document, history, clock, openOf: (tunnel) => openOf(tunnel, engine) });
    this.#uncall = engine.onChange(() => this.#call(joinMs));
    const sample = (): void => {
      this.#feed.sample();
      this.#call(0);
      this.#cancelSample = clock.schedule(sampleMs, sample);
    };
    this.#cancelSample = clock.schedule(0, sample);
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const say = (code: number, why: string): void => {
      response.writeHead(code, { ...always, 'content-type': 'text/plain; charset=utf-8' });
      response.end(request.method === 'HEAD' ? undefined : why);
    };
    // Another site cannot read it, but could take the places of those who may.
    const site = request.headers['sec-fetch-site'];
    if (site !== undefined && site !== 'same-origin' && site !== 'none')
      return say(403, 'only for the page\n');
    if (this.#viewers.size >= mostViewers) return say(503, `${mostViewers} pages are open already\n`);
    if (request.method === 'HEAD') return say(200, '');
    response.writeHead(200, { ...always, 'content-type': 'text/event-stream' });
    response.write(`retry: ${retryMs}\n\n`);
    response.once('close', () => this.#viewers.delete(response));
    response.on('drain', () => this.#call(0));
    response.on('error', () => undefined); // its end tells
    this.#viewers.set(response, null);
    this.#call(0);
  }

  close(): void {
    this.#uncall();
    this.#cancelSample();
    this.#cancelTurn?.();
    for (const response of this.#viewers.keys()) response.end();
    this.#viewers.clear();
  }

  /** There may be news. The first one who looks at the page does not wait for what others have cost. */
  #call(afterMs: number): void {
    if (this.#viewers.size === 0) return;
    if (this.#cancelTurn !== null && afterMs > 0) return;
    this.#cancelTurn?.();
    const { clock } = this.#parts;
    const waitMs = Math.max(afterMs, this.#freeAtMs - clock.monotonic());
    this.#cancelTurn = clock.schedule(waitMs, () => {
      this.#cancelTurn = null;
      this.#turn();
    });
  }

  #turn(): void {
    const { clock } = this.#parts;
    this.#feed.look();
    const inTurn = [...this.#viewers]; // who was served goes to the end
    for (const [response, seen] of inTurn) {
      if (response.writableNeedDrain) continue; // it is called again once it has read
      if (this.#freeAtMs > clock.monotonic()) return this.#call(0);
      const told = this.#feed.news(seen);
      if (told === null) continue;
      const text = `event: ${told.event}\ndata: ${told.text}\n\n`;
      response.write(text);
      this.#freeAtMs = clock.monotonic() + Buffer.byteLength(text) / bytesPerMs;
      this.#viewers.delete(response);
      this.#viewers.set(response, told.seen);
    }
  }
}

/** Null where the tunnel has none, or nobody listens there. */
function openOf(status: StatusDocument['tunnels'][number], engine: PageParts['engine']): string | null {
  const tunnel = engine.examine(status.name)?.tunnel;
  if (tunnel === undefined || tunnel.open === null || !status.forwards.some(({ bound }) => bound))
    return null;
  const [end] = localEnds(tunnel, status) ?? [];
  return end === undefined ? null : openable(tunnel.open, end);
}
