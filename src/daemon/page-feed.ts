// What viewers of the page are told: first everything, then only what changed since they were told last.
import { historyOf, type HistoryLine } from '../model/history.ts';
import {
  stripMs,
  type PageChanges,
  type PageDocument,
  type PageTunnel,
  type PastState,
} from '../model/page.ts';
import type { StatusDocument, TunnelStatus } from '../model/status.ts';
import { documentText } from '../render/error.ts';
import { Samples } from './samples.ts';

export interface FeedParts {
  readonly document: () => StatusDocument;
  /** `open:` of a tunnel, filled in. */
  readonly openOf: (tunnel: TunnelStatus) => string | null;
  readonly history: () => readonly HistoryLine[];
  readonly clock: { now(): number; monotonic(): number };
}

/** How far a viewer has been told. */
export interface Seen {
  readonly version: number;
  readonly sample: number;
}

export interface Told {
  readonly event: 'document' | 'changes';
  readonly text: string;
  readonly seen: Seen;
}

interface Known {
  readonly text: string;
  /** The tunnel as it is told. */
  readonly tunnel: PageTunnel;
  /** When it changed last. */
  readonly version: number;
}

/** States of one tunnel in a day: more is flapping that no strip can show. */
const mostStates = 500;

export class PageFeed {
  readonly #parts: FeedParts;
  readonly #samples = new Samples();
  #document: StatusDocument;
  #known = new Map<string, Known>();
  #names = { text: '', version: 0 };
  #supervisor = { text: '', version: 0 };
  #version = 0;
  #sampled: { readonly at: string | null; readonly count: number; readonly unlike: ReadonlySet<string> };

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#document = parts.document();
    this.#sampled = { at: null, count: 0, unlike: new Set() };
  }

  sample(): void {
    const { document, clock } = this.#parts;
    this.#document = document();
    const unlike = this.#samples.take(this.#document.tunnels, clock.monotonic());
    const at = new Date(clock.now()).toISOString();
    this.#sampled = { at, count: this.#sampled.count + 1, unlike };
  }

  /** Sees what has changed. */
  look(): void {
    const document = this.#parts.document();
    this.#document = document;
    this.#version += 1;
    const version = this.#version;
    const same = (
      before: { text: string; version: number },
      text: string,
    ): { text: string; version: number } => (before.text === text ? before : { text, version });
    const known = new Map<string, Known>();
    for (const status of document.tunnels) {
      const tunnel = { ...status, open: this.#parts.openOf(status) };
      const text = documentText(tunnel);
      const before = this.#known.get(status.name);
      known.set(status.name, before?.text === text ? before : { text, tunnel, version });
    }
    this.#known = known;
    this.#names = same(this.#names, [...known.keys()].join('\n'));
    this.#supervisor = same(this.#supervisor, JSON.stringify(document.supervisor));
  }

  /** Everything, for a viewer that was told nothing yet, or too little: call `look` before. */
  whole(): Told {
    const past = this.#past();
    const at = this.#now();
    const document: PageDocument = {
      ...this.#document,
      at,
      sampledAt: this.#sampled.at,
      tunnels: [...this.#known.values()].map(({ tunnel }) => ({
        ...tunnel,
        samples: this.#samples.of(tunnel.name),
        history: past.get(tunnel.name) ?? [],
      })),
    };
    return { event: 'document', text: documentText(document), seen: this.#seen() };
  }

  /** Null when there is nothing new: call `look` before. */
  news(seen: Seen | null): Told | null {
    if (seen === null || this.#sampled.count - seen.sample > 1) return this.whole();
    const isSampled = this.#sampled.count > seen.sample;
    const isNew = ({ version }: { version: number }): boolean => version > seen.version;
    const tunnels = [...this.#known.values()].flatMap((known) => {
      const isUnlike = isSampled && this.#sampled.unlike.has(known.tunnel.name);
      if (!isUnlike && !isNew(known)) return [];
      const sample = this.#samples.of(known.tunnel.name).at(-1);
      return [{ ...known.tunnel, ...(isUnlike && sample !== undefined ? { sample } : {}) }];
    });
    const isElse = isNew(this.#names) || isNew(this.#supervisor);
    if (tunnels.length === 0 && !isSampled && !isElse) return null;
    const changes: PageChanges = {
      at: this.#now(),
      supervisor: this.#document.supervisor,
      ...(isNew(this.#names) ? { names: [...this.#known.keys()] } : {}),
      ...(isSampled && this.#sampled.at !== null ? { sampledAt: this.#sampled.at } : {}),
      tunnels,
    };
    return { event: 'changes', text: documentText(changes), seen: this.#seen() };
  }

  #seen(): Seen {
    return { version: this.#version, sample: this.#sampled.count };
  }

  #now(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }

  /** Of each tunnel its states of the last day, with the one that it was in when that began. */
  #past(): ReadonlyMap<string, readonly PastState[]> {
    const nowMs = this.#parts.clock.now();
    const { changes } = historyOf(this.#parts.history(), {
      sinceMs: 0,
      nowMs,
      alive: true,
      takes: (tunnel) => this.#known.has(tunnel),
    });
    const since = new Date(nowMs - stripMs).toISOString();
    const past = new Map<string, PastState[]>();
    for (const { tunnel, at, to, message } of changes) {
      const states = past.get(tunnel) ?? [];
      if (at < since) states.length = 0; // only the last of those is of use
      states.push({ at, to, message });
      if (states.length > mostStates) states.shift();
      past.set(tunnel, states);
    }
    return past;
  }
}
