// The new supervisor's side of a replacement: what the old one hands over, and the old one itself, for as long as it carries
// connections to their end.
import { closeSync } from 'node:fs';
import { protocolVersion } from '../control/protocol.ts';
import { reportError, TunnelError } from '../errors.ts';
import type { AdoptedListener } from '../model/carrier.ts';
import type { Cancel } from '../model/clock.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import type { HandedListener, HandedTunnel, Inheritance, TypedSecrets } from '../model/handover.ts';
import { Secret } from '../model/secret.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import { version } from '../model/version.ts';
import type { Engine } from '../supervisor/engine.ts';
import type { SupervisorLock } from './claim.ts';
import {
  handoverFormat,
  type FromNew,
  type FromOld,
  type HandedState,
  type HandoverPipe,
} from './handover-messages.ts';
import type { HandedLease } from './leases.ts';
import type { Log } from './log.ts';

type Pipe = HandoverPipe<FromOld, FromNew>;

/** What the old supervisor said first. Throws DAEMON_MISMATCH where it is gone, or speaks in a form that is not known here. */
export function receivePredecessor(pipe: Pipe): Promise<Predecessor> {
  return new Promise((resolve, reject) => {
    pipe.listen(
      (message) => {
        if (message.kind !== 'state') return;
        const { format, version: its } = message.state;
        if (format <= handoverFormat) return resolve(new Predecessor(pipe, message.state));
        const error = mismatch(`version ${its} hands over in a form that ${version} does not know`);
        pipe.send({ kind: 'failed', error: reportError(error) });
        reject(error);
      },
      () => reject(mismatch('the supervisor that was to be replaced has ended')),
    );
  });
}

const mismatch = (why: string): TunnelError => new TunnelError('DAEMON_MISMATCH', why);

export class Predecessor implements Inheritance {
  readonly state: HandedState;
  readonly #pipe: Pipe;
  readonly #listeners: Map<string, HandedListener>;
  readonly #leaving = new Map<string, { readonly left: Promise<void>; readonly done: () => void }>();
  readonly #downs = new Map<number, () => void>();
  readonly #changeListeners = new Set<() => void>();
  #onServers: Set<string>;
  #connections = 0;
  #isThere = true;
  #lastDown = 0;
  #go: { readonly resolve: () => void; readonly reject: (error: TunnelError) => void } | null = null;

  constructor(pipe: Pipe, state: HandedState) {
    this.#pipe = pipe;
    this.state = state;
    this.#listeners = new Map(state.listeners.map((each) => [keyOf(each), each]));
    this.#onServers = new Set(state.tunnels.flatMap(({ name, remote }) => (remote ? [name] : [])));
    pipe.listen(
      (message) => this.#heard(message),
      () => this.#gone(),
    );
  }

  /** False once its process has ended. */
  get isThere(): boolean {
    return this.#isThere;
  }

  /** That it still carries. */
  get connections(): number {
    return this.#connections;
  }

  get typed(): TypedSecrets {
    const { passwords, passphrases } = this.state;
    return {
      passwords: passwords.map(({ name, value }) => ({ name, secret: new Secret(value) })),
      passphrases: passphrases.map(({ value, ...of }) => ({ ...of, secret: new Secret(value) })),
    };
  }

  /** Tunnels that are in no file; their form is believed between equal versions only. */
  get orphans(): readonly HandedTunnel[] {
    return this.state.version === version ? this.state.tunnels.filter(({ orphan }) => orphan !== null) : [];
  }

  /** Up for commands that can speak with this supervisor, and take it again here. */
  get leased(): readonly HandedLease[] {
    const { protocol, leased = [] } = this.state;
    return protocol === protocolVersion.current ? leased : [];
  }

  /** Names of all else. */
  get wanted(): readonly string[] {
    const leased = new Set(this.leased.map(({ name }) => name));
    return this.state.tunnels.map(({ name }) => name).filter((name) => !leased.has(name));
  }

  onChange(listener: () => void): Cancel {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** Says that all is loaded; resolves when the old one has stepped back. Throws where it is gone. */
  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#go = { resolve, reject };
      this.#pipe.send({ kind: 'ready' });
      if (!this.#isThere) this.#gone();
    });
  }

  serving(pid: number): void {
    this.#pipe.send({ kind: 'serving', pid, version });
  }

  failed(error: TunnelError): void {
    this.#pipe.send({ kind: 'failed', error: reportError(error) });
  }

  listener(tunnel: string, forward: string, listen: Endpoint): AdoptedListener | null {
    const key = keyOf({ tunnel, forward, listen });
    const found = this.#listeners.get(key);
    if (found === undefined) return null;
    this.#listeners.delete(key);
    let left: HandedListener | null = found;
    const take = (): HandedListener | null => {
      const taken = left;
      left = null;
      return taken;
    };
    return { take, drop: () => closeDescriptors(take()) };
  }

  /** Listeners that no tunnel of this supervisor has asked for. */
  dropRest(): void {
    for (const each of this.#listeners.values()) closeDescriptors(each);
    this.#listeners.clear();
  }

  leaveServer(tunnel: string): Promise<void> | null {
    if (!this.#isThere || !this.#onServers.has(tunnel)) return null;
    const found = this.#leaving.get(tunnel);
    if (found !== undefined) return found.left;
    let done = (): void => undefined;
    const left = new Promise<void>((resolve) => (done = resolve));
    this.#leaving.set(tunnel, { left, done });
    this.#pipe.send({ kind: 'leave', tunnel });
    return left;
  }

  /** Ends what it carries for tunnels, and what it has on servers for them; resolves when that is done. */
  down(tunnels: readonly string[], drainMs: number): Promise<void> {
    if (!this.#isThere || tunnels.length === 0) return Promise.resolve();
    const id = (this.#lastDown += 1);
    return new Promise((resolve) => {
      this.#downs.set(id, resolve);
      this.#pipe.send({ kind: 'down', id, tunnels, drainMs });
    });
  }

  /** Ends it with all that it carries. */
  end(): void {
    this.#pipe.send({ kind: 'end' });
  }

  #heard(message: FromOld): void {
    switch (message.kind) {
      case 'state':
        return;
      case 'go':
        return this.#go?.resolve();
      case 'left':
        this.#onServers.delete(message.tunnel);
        return this.#leaving.get(message.tunnel)?.done();
      case 'downed':
        this.#downs.get(message.id)?.();
        this.#downs.delete(message.id);
        return;
      case 'carries':
        this.#connections = message.connections;
        return this.#changed();
    }
  }

  #gone(): void {
    this.#isThere = false;
    this.#connections = 0;
    this.#go?.reject(mismatch('the supervisor that was to be replaced has ended'));
    for (const { done } of this.#leaving.values()) done();
    for (const done of this.#downs.values()) done();
    this.#downs.clear();
    this.#changed();
  }

  #changed(): void {
    for (const listener of this.#changeListeners) listener();
  }
}

interface GoingOn {
  readonly engine: Engine;
  readonly lock: SupervisorLock;
  readonly log: Log;
}

/**
 * Takes the lock, and brings up all that the supervisor before this one had, with what it had for it. Throws DAEMON_MISMATCH
 * where the lock is not its own any more; nothing has changed for it then.
 */
export function goOn(predecessor: Predecessor, { engine, lock, log }: GoingOn): void {
  const { state, typed } = predecessor;
  if (lock.takeOver(state.lock).kind === 'held')
    throw mismatch('the supervisor that was to be replaced has lost its lock');
  engine.inherit({ attended: state.attended, typed });
  const known = new Set(engine.known().map(({ name }) => name));
  for (const { name, environment, remap } of state.tunnels) {
    if (known.has(name)) engine.up([name], { acceptNew: false, personPresent: false, environment, remap });
    else log.write('warn', 'handover', `${name} is not in the file any more: it ends with its connections`);
  }
  predecessor.dropRest();
  predecessor.serving(process.pid);
  // Until that word the old one hears nothing else.
  for (const { name } of state.tunnels) if (!known.has(name)) void predecessor.leaveServer(name);
}

/** With the tunnels that run and are in no file, as if they were. `predecessor`: null once they are up. */
export function withOrphans(resolved: ResolvedConfig, predecessor: Predecessor | null): ResolvedConfig {
  const orphans = predecessor?.orphans.flatMap(({ orphan }) => orphan ?? []) ?? [];
  const inFile = new Set(resolved.tunnels.map(({ name }) => name));
  return { ...resolved, tunnels: [...resolved.tunnels, ...orphans.filter(({ name }) => !inFile.has(name))] };
}

const keyOf = ({ tunnel, forward, listen }: Pick<HandedListener, 'tunnel' | 'forward' | 'listen'>): string =>
  `${tunnel}/${forward} ${formatEndpoint(listen)}`;

function closeDescriptors(listener: HandedListener | null): void {
  for (const descriptor of listener?.descriptors ?? []) closeSync(descriptor);
}
