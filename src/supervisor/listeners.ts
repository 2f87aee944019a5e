// The listeners of one tunnel: its carriers, bound from `up` to `down`; a port in use is tried again every 5 s (SPEC 3).
import { asTunnelError, TunnelError } from '../errors.ts';
import type {
  AdoptedListener,
  Carrier,
  CarrierCounts,
  CarrierParts,
  CarrierStatus,
  CreateCarrier,
  LinkView,
} from '../model/carrier.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { collide, formatEndpoint, placeOf } from '../model/endpoint.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { TunnelFlow } from '../model/flow.ts';
import type { Forward } from '../model/forward.ts';
import type { HandedListener } from '../model/handover.ts';
import type { CallerEnvironment } from '../model/session.ts';
import type { ForwardStatus } from '../model/status.ts';
import type { Hold } from '../model/tunnel.ts';
import { same } from './canonical.ts';
import type { EngineLog } from './engine.ts';
import { hintFor } from '../model/tunnel-hints.ts';
import { forwardStatus } from './status.ts';
import type { TimedError } from './status.ts';

export interface ListenersParts {
  readonly clock: Clock;
  readonly createCarrier: CreateCarrier;
  readonly log: EngineLog;
  readonly tunnel: () => string;
  readonly addresses: AddressBook;
  readonly preferredPort: (forward: string) => number | null;
  readonly portChosen: (forward: string, port: number) => void;
  readonly backoffMs: (retry: number) => number;
  readonly changed: () => void;
  readonly knock: () => void;
  /** The environment of the commands that brought the tunnel up. */
  readonly environment?: () => CallerEnvironment;
  /** What the supervisor before this one had for a forward of the tunnel. */
  readonly adopted?: (forward: string, listen: Endpoint) => AdoptedListener | null;
  readonly predecessorLeaves?: () => Promise<void> | null;
}

interface Slot {
  forward: Forward;
  hold: Hold;
  carrier: Carrier;
  phase: Phase;
  failure: TimedError | null;
  /** Gives its address back to others of ours. */
  letGo: Cancel;
  /** The counts of earlier carriers of this forward, which are gone. */
  past: CarrierCounts;
}

type Inherited = Pick<CarrierParts, 'preferredPort' | 'adopted' | 'predecessorLeaves'>;

type Phase = 'new' | 'binding' | 'bound' | 'failed';

const noCounts: CarrierCounts = { open: 0, held: 0, total: 0, failed: 0, bytesIn: 0, bytesOut: 0 };

const retryMs = 5_000;
/** A forward that left the config lets its connections end, however long they take; the longest timer Node has. */
const noHurryMs = 2 ** 31 - 1;

export class Listeners {
  readonly #parts: ListenersParts;
  /** Carriers that let their last connections end, and the slot that goes on counting them; null for none. */
  readonly #draining = new Map<Carrier, Slot | null>();
  #slots: Slot[];
  #view: LinkView;
  #retry: { readonly atMs: number; readonly cancel: Cancel } | null = null;
  #closed = false;
  /** Another process listens here now. */
  #given = false;

  constructor(parts: ListenersParts, forwards: readonly Forward[], hold: Hold, view: LinkView) {
    this.#parts = parts;
    this.#view = view;
    this.#slots = forwards.map((forward, index) => this.#make(forward, hold, index));
  }

  get binding(): boolean {
    return this.#slots.some(({ phase }) => phase === 'binding' || phase === 'new');
  }

  /** True when a forward can serve: a link is worth dialling. */
  get serviceable(): boolean {
    return this.#slots.some(({ forward, phase }) => forward.type === 'remote' || phase === 'bound');
  }

  get listenFailure(): (TimedError & { readonly retryAtMs: number | null }) | null {
    const failed = this.#slots.find(({ phase }) => phase === 'failed');
    if (failed?.failure === null || failed === undefined) return null;
    return { ...failed.failure, retryAtMs: this.#retry?.atMs ?? null };
  }

  /** The status of each forward, with the connections that go on over an earlier address. */
  statuses(): readonly CarrierStatus[] {
    return this.#slots.map((slot) => this.#statusOf(slot));
  }

  /** The same, and forwards that left the file, until their last connection has ended. */
  forwardStatuses(): readonly ForwardStatus[] {
    const now = this.#parts.clock.now();
    const own = this.#slots.map((slot) =>
      forwardStatus(slot.forward, this.#statusOf(slot), slot.failure, now),
    );
    const left = [...this.#draining]
      .filter(([, heir]) => heir === null)
      .map(([carrier]) => forwardStatus(carrier.forward, carrier.status(), null, now));
    return [...own, ...left.filter(({ open }) => open > 0)];
  }

  /** The connections over each address, also over those that only let their last ones end; at most `most`. */
  flows(most: number): readonly TunnelFlow[] {
    const carriers = [...this.#slots.map(({ carrier }) => carrier), ...this.#draining.keys()];
    const tunnel = this.#parts.tunnel();
    let left = most;
    return carriers.flatMap((carrier) => {
      const views = carrier.connections?.(left) ?? [];
      left -= views.length;
      if (views.length === 0) return [];
      const { listen } = carrier.status();
      return views.map((view) => ({ ...view, tunnel, forward: carrier.forward.name, listen }));
    });
  }

  /** Connections that run, or wait, over whichever address. */
  get connections(): number {
    const carriers = [...this.#slots.map(({ carrier }) => carrier), ...this.#draining.keys()];
    return carriers.map((carrier) => carrier.status()).reduce((sum, { open, held }) => sum + open + held, 0);
  }

  get busy(): boolean {
    return this.connections > 0;
  }

  /** What listens here, by forward. */
  handing(): readonly HandedListener[] {
    const tunnel = this.#parts.tunnel();
    return this.#slots.flatMap(({ forward, carrier }, index) => {
      const listening = carrier.listening();
      const key = forward.name ?? String(index);
      return listening === null ? [] : [{ tunnel, forward: key, listen: forward.listen, ...listening }];
    });
  }

  /** Listens no more, since another process goes on with the addresses. */
  async letGo(where: 'here' | 'server'): Promise<void> {
    if (where === 'here') {
      this.#given = true;
      this.#disarm();
    }
    const carriers = this.#slots
      .map(({ carrier }) => carrier)
      .filter(({ forward }) => (forward.type === 'remote') === (where === 'server'));
    await Promise.all(carriers.map((carrier) => carrier.letGo()));
  }

  /** Binds the addresses that are not bound. Never throws: a failure is in `listenFailure`. `remap`: a free port will do. */
  async open(remap: boolean): Promise<void> {
    if (this.#given) return;
    this.#disarm();
    const idle = this.#slots.filter(({ phase }) => phase === 'new' || phase === 'failed');
    for (const slot of idle) this.#enter(slot, 'binding');
    await Promise.all(idle.map((slot) => this.#bind(slot, remap)));
  }

  /** Forwards that wait for their next try, on the server too, try now. */
  retry(): void {
    for (const { carrier } of this.#slots) carrier.retry?.();
  }

  link(view: LinkView): void {
    this.#view = view;
    for (const { carrier } of this.#slots) carrier.link(view);
  }

  /** Running flows go on: kept where the carrier takes the change, else a new carrier opens before the old one drains. */
  async reshape(forwards: readonly Forward[], hold: Hold): Promise<void> {
    const left = new Set(this.#slots);
    const take = (match: (slot: Slot) => boolean): Slot | undefined => {
      const found = [...left].find(match);
      if (found !== undefined) left.delete(found);
      return found;
    };
    const kept = forwards.map((forward) => take((slot) => same([slot.forward, slot.hold], [forward, hold])));
    this.#slots = forwards.map((forward, index) => {
      const slot = kept[index] ?? take(({ carrier }) => carrier.accepts(forward, hold));
      if (slot === undefined) return this.#make(forward, hold, index);
      if (kept[index] === undefined) slot.carrier.replace(forward, hold);
      return Object.assign(slot, { forward, hold });
    });
    const inTheWay = [...left].filter(({ forward }) =>
      this.#slots.some((slot) => slot.phase === 'new' && same(slot.forward.listen, forward.listen)),
    );
    const heirs = heirsOf(
      [...left],
      this.#slots.filter((_slot, index) => kept[index] === undefined),
    );
    for (const slot of inTheWay) this.#drain(slot, heirs.get(slot) ?? null);
    await this.open(false);
    for (const slot of left) if (!inTheWay.includes(slot)) this.#drain(slot, heirs.get(slot) ?? null);
    if (left.size > 0 && this.listenFailure !== null) await this.open(false);
  }

  resetConnections(): void {
    for (const { carrier } of this.#slots) carrier.resetConnections();
    for (const carrier of this.#draining.keys()) carrier.resetConnections();
  }

  async close(drainMs: number): Promise<void> {
    this.#closed = true;
    this.#disarm();
    if (drainMs === 0) for (const carrier of this.#draining.keys()) carrier.resetConnections();
    await Promise.all(
      [...this.#slots.map(({ carrier }) => carrier), ...this.#draining.keys()].map((c) => c.close(drainMs)),
    );
    for (const slot of this.#slots) slot.letGo();
  }

  /** The one place that changes a phase: the address is held from the first try to bind it until it fails or closes. */
  #enter(slot: Slot, phase: Phase): void {
    slot.phase = phase;
    slot.letGo();
    if (slot.forward.type === 'remote' || phase === 'new' || phase === 'failed') return;
    slot.letGo = this.#parts.addresses.hold(slot.carrier.forward.listen, this.#parts.tunnel);
  }

  #make(forward: Forward, hold: Hold, index: number): Slot {
    const slot: Slot = {
      forward,
      hold,
      carrier: this.#create(forward, hold, this.#inherited(forward, index)),
      phase: forward.type === 'remote' ? 'bound' : 'new',
      failure: null,
      letGo: () => undefined,
      past: noCounts,
    };
    slot.carrier.link(this.#view);
    return slot;
  }

  /** What the supervisor before this one had for it, or another one that ended. */
  #inherited(forward: Forward, index: number): Inherited {
    const { adopted, predecessorLeaves, preferredPort } = this.#parts;
    const key = forward.name ?? String(index);
    const found = adopted?.(key, forward.listen) ?? null;
    if (forward.type !== 'remote') return { preferredPort: preferredPort(key), adopted: found };
    const at = found?.take()?.at;
    const port = at?.kind === 'tcp' ? at.port : preferredPort(key);
    return { preferredPort: port, predecessorLeaves: predecessorLeaves ?? null };
  }

  #create(forward: Forward, hold: Hold, inherited: Inherited): Carrier {
    const { clock, createCarrier, log, tunnel, backoffMs, changed, knock, environment } = this.#parts;
    return createCarrier(forward, hold, {
      ...(environment === undefined ? {} : { environment }),
      ...inherited,
      clock,
      backoffMs,
      events: {
        changed: () => {
          this.#noticeBroken();
          changed();
        },
        knock,
        log: (level, event, message, facts) => log(level, event, message, { ...facts, tunnel: tunnel() }),
      },
    });
  }

  async #bind(slot: Slot, remap: boolean): Promise<void> {
    try {
      await this.#openCarrier(slot.carrier);
      this.#bound(slot);
    } catch (thrown) {
      if (this.#closed) return;
      if (remap && (await this.#bindElsewhere(slot))) return;
      this.#enter(slot, 'failed');
      const error = asTunnelError(thrown);
      slot.failure = { error, atMs: this.#parts.clock.now() };
      const tunnel = this.#parts.tunnel();
      const hint = error.hint === null ? {} : { hint: hintFor(error.hint, { name: tunnel, ways: [] }) };
      this.#parts.log('warn', 'listen.failed', error.message, { tunnel, code: error.code, ...hint });
      this.#arm();
    }
    this.#parts.changed();
  }

  /** `up --remap`: the nearest free port, for as long as the tunnel is wanted. */
  async #bindElsewhere(slot: Slot): Promise<boolean> {
    for (const listen of remapCandidates(slot.forward.listen)) {
      const carrier = this.#create({ ...slot.forward, listen } as Forward, slot.hold, {
        preferredPort: null,
      });
      try {
        await this.#openCarrier(carrier);
        this.#retire(slot.carrier, slot);
        slot.carrier = carrier;
        carrier.link(this.#view);
        this.#bound(slot);
        this.#parts.changed();
        return true;
      } catch {
        // Taken as well: the next candidate.
        await carrier.close(0);
      }
    }
    return false;
  }

  async #openCarrier(carrier: Carrier): Promise<void> {
    const { listen } = carrier.forward;
    const holder = this.#parts.addresses.holderOf(listen, this.#parts.tunnel());
    if (holder !== null)
      throw new TunnelError(
        'LISTEN_FAILED',
        `listen failed, on ${formatEndpoint(listen)}: held by tunnel ${holder}`,
        {
          hint: { command: 'down', on: { tunnel: holder } },
          facts: { holder },
        },
      );
    await carrier.open();
    if (!this.#closed) return;
    await carrier.close(0);
    throw new TunnelError('NOT_UP', `listen stopped, on ${formatEndpoint(listen)}: it is no longer wanted`);
  }

  #bound(slot: Slot): void {
    this.#enter(slot, 'bound');
    slot.failure = null;
    const { listen } = slot.forward;
    const port = /:(\d+)$/.exec(slot.carrier.status().listen)?.[1];
    if (listen.kind !== 'tcp' || listen.port !== 0 || port === undefined) return;
    this.#parts.portChosen(slot.forward.name ?? String(this.#slots.indexOf(slot)), Number(port));
  }

  /** A listener that broke while it served is bound anew. */
  #noticeBroken(): void {
    for (const slot of this.#slots) {
      if (slot.phase !== 'bound' || slot.forward.type === 'remote') continue;
      const { broken, error, errorAtMs } = slot.carrier.status();
      if (!broken || error?.code !== 'LISTEN_FAILED') continue;
      this.#enter(slot, 'failed');
      slot.failure = { error, atMs: errorAtMs ?? this.#parts.clock.now() };
      this.#arm();
    }
  }

  /** `heir` goes on with its counts: the same forward at another address. */
  #drain(slot: Slot, heir: Slot | null): void {
    slot.letGo();
    for (const [carrier, before] of this.#draining) if (before === slot) this.#draining.set(carrier, heir);
    if (heir !== null) heir.past = sumOf([heir.past, slot.past]);
    this.#retire(slot.carrier, heir);
  }

  #retire(carrier: Carrier, heir: Slot | null): void {
    this.#draining.set(carrier, heir);
    const done = (): void => {
      const last = this.#draining.get(carrier) ?? null;
      this.#draining.delete(carrier);
      if (last !== null) last.past = sumOf([last.past, { ...carrier.status(), open: 0, held: 0 }]);
      this.#parts.changed();
    };
    carrier.close(noHurryMs).then(done, done);
  }

  #statusOf(slot: Slot): CarrierStatus {
    const status = slot.carrier.status();
    if (this.#draining.size === 0 && slot.past === noCounts) return status;
    const before = [...this.#draining]
      .filter(([, heir]) => heir === slot)
      .map(([carrier]) => carrier.status());
    return { ...status, ...sumOf([status, slot.past, ...before]) };
  }

  #arm(): void {
    if (this.#retry !== null || this.#closed || this.#given) return;
    const { clock } = this.#parts;
    const cancel = clock.schedule(retryMs, () => {
      this.#retry = null;
      void this.open(false);
    });
    this.#retry = { atMs: clock.monotonic() + retryMs, cancel };
  }

  #disarm(): void {
    this.#retry?.cancel();
    this.#retry = null;
  }
}

function sumOf(counts: readonly CarrierCounts[]): CarrierCounts {
  return counts.reduce((sum, each) => ({
    open: sum.open + each.open,
    held: sum.held + each.held,
    total: sum.total + each.total,
    failed: sum.failed + each.failed,
    bytesIn: sum.bytesIn + each.bytesIn,
    bytesOut: sum.bytesOut + each.bytesOut,
  }));
}

/** Which forward goes on with what another one carries: the one of its name, else of its target, else the next of its type. */
function heirsOf(left: readonly Slot[], fresh: readonly Slot[]): ReadonlyMap<Slot, Slot> {
  const free = new Set(fresh);
  const heirs = new Map<Slot, Slot>();
  const alike: readonly ((a: Forward, b: Forward) => boolean)[] = [
    (a, b) => a.name !== null && a.name === b.name,
    (a, b) => targetOf(a) === targetOf(b),
    (a, b) => a.name === null && b.name === null,
  ];
  for (const isAlike of alike)
    for (const old of left) {
      if (heirs.has(old)) continue;
      const heir = [...free].find(
        ({ forward }) => forward.type === old.forward.type && isAlike(old.forward, forward),
      );
      if (heir === undefined) continue;
      heirs.set(old, heir);
      free.delete(heir);
    }
  return heirs;
}

const targetOf = (forward: Forward): string =>
  forward.type === 'dynamic' || forward.target === null ? '*' : formatEndpoint(forward.target);

const nearbyPorts = 20;

/** Where to listen instead, the nearest ports first, then any; none for a unix socket. */
export function remapCandidates(listen: Endpoint): readonly Endpoint[] {
  if (listen.kind === 'unix' || listen.port === 0) return [];
  const near = Array.from({ length: nearbyPorts }, (_unused, index) => listen.port + 1 + index);
  return [...near.filter((port) => port <= 65_535), 0].map((port) => ({ ...listen, port }));
}

/** Addresses that tunnels hold here, by port or path: the holder is found without a look at every tunnel. */
export class AddressBook {
  readonly #held = new Map<number | string, Set<Held>>();

  /** Holds an address until it is given back (idempotent). */
  hold(listen: Endpoint, tunnel: () => string): Cancel {
    const key = placeOf(listen);
    const held = { listen, tunnel };
    const page = this.#held.get(key) ?? new Set();
    this.#held.set(key, page.add(held));
    return () => {
      if (page.delete(held) && page.size === 0 && this.#held.get(key) === page) this.#held.delete(key);
    };
  }

  /** Another tunnel that holds an address in the way of this one; null for none. */
  holderOf(listen: Endpoint, asker: string): string | null {
    for (const held of this.#held.get(placeOf(listen)) ?? [])
      if (held.tunnel() !== asker && collide(held.listen, listen)) return held.tunnel();
    return null;
  }
}

interface Held {
  readonly listen: Endpoint;
  /** Asked each time: a tunnel may be renamed while it runs. */
  readonly tunnel: () => string;
}
