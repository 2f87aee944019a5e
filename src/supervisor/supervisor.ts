// The engine: tunnels by name, the links under them, the people at them. Wanted state and actual state meet here.
import { TunnelError } from '../errors.ts';
import type { Cancel } from '../model/clock.ts';
import type { TunnelFlow } from '../model/flow.ts';
import { formatAddress, formatLogin } from '../model/host.ts';
import type { Answer } from '../model/question.ts';
import type { DialStep } from '../model/session.ts';
import type { Handing } from '../model/handover.ts';
import type { StateChange } from '../model/history.ts';
import type { TunnelState, TunnelStatus } from '../model/status.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import { describeChange, diffTunnels } from './diff.ts';
import type { Change } from './diff.ts';
import type {
  ApplyOptions,
  Engine,
  EngineParts,
  Examined,
  Hearer,
  KnownTunnel,
  Person,
  UpRequest,
  Waiting,
} from './engine.ts';
import { Links } from './links.ts';
import { AddressBook } from './listeners.ts';
import { Questions } from './questions.ts';
import { TunnelRun } from './tunnel.ts';
import type { TunnelParts } from './tunnel.ts';

/** An engine without tunnels: `apply` gives it a config, `close` ends it. */
export function createEngine(parts: EngineParts): Engine {
  return new Supervisor(parts);
}

const restLimitMs = 2_000;

interface Attendance<H> {
  readonly names: ReadonlySet<string>;
  readonly who: H;
}

class Supervisor implements Engine {
  readonly #parts: EngineParts;
  readonly #questions = new Questions();
  readonly #links: Links;
  readonly #tunnelParts: TunnelParts;
  readonly #attendances = new Set<Attendance<Person>>();
  readonly #hearings = new Set<Attendance<Hearer>>();
  readonly #changeListeners = new Set<() => void>();
  readonly #stateListeners = new Set<(change: StateChange) => void>();
  readonly #wantedListeners = new Set<(names: readonly string[]) => void>();
  readonly #portListeners = new Set<(ports: Readonly<Record<string, number>>) => void>();
  readonly #lastStates = new Map<string, TunnelState>();
  #runs = new Map<string, TunnelRun>();
  /** Who comes `after` a tunnel, by its name. */
  #followers = new Map<string, readonly TunnelRun[]>();
  #ports: Readonly<Record<string, number>>;
  #lastWanted = '';
  #stamp = 0;
  #applying: Promise<unknown> = Promise.resolve();
  #fresh = true;

  constructor(parts: EngineParts) {
    this.#parts = parts;
    this.#ports = parts.ports;
    this.#links = new Links({
      ...parts,
      questions: this.#questions,
      hearers: (names) => this.#hearersOf(names),
    });
    this.#tunnelParts = {
      ...parts,
      links: this.#links,
      persons: (name) => this.#personsAt(name),
      addresses: new AddressBook(),
      preferredPort: (tunnel, forward) => this.#ports[`${tunnel}/${forward}`] ?? null,
      portChosen: (tunnel, forward, port) => this.#portChosen(`${tunnel}/${forward}`, port),
      stateOf: (name) => this.#runs.get(name)?.state ?? null,
      changed: (name) => this.#changed(name),
      moved: (change) => {
        for (const listener of this.#stateListeners) listener(change);
      },
    };
  }

  apply(config: ResolvedConfig, options: ApplyOptions): Promise<readonly string[]> {
    const applied = this.#applying.then(() => this.#apply(config, options));
    this.#applying = applied.catch(() => null);
    return applied;
  }

  known(): readonly KnownTunnel[] {
    return [...this.#runs.values()].map(({ tunnel, wanted, orphan }) => {
      const { name, tags, autostart } = tunnel;
      return { name, tags, autostart, wanted, orphan };
    });
  }

  up(names: readonly string[], request: UpRequest): void {
    this.#stamp += 1;
    for (const run of this.#select(names)) run.up(request, this.#stamp);
    this.#questions.offer();
    this.#tellWanted();
  }

  restart(names: readonly string[], request: UpRequest): Promise<void> {
    this.#stamp += 1;
    const runs = this.#select(names);
    const renewed = new Set<string>();
    // The terms first: a renewed link dials at once, and with what this command brought.
    for (const { linkUse } of runs) if (linkUse.link !== null) linkUse.take(request, this.#stamp);
    for (const run of runs) {
      const { linkUse } = run;
      if (linkUse.link === null || renewed.has(linkUse.key)) continue;
      renewed.add(linkUse.key);
      linkUse.renew();
    }
    for (const run of runs) run.restart(request, this.#stamp);
    this.#questions.offer();
    this.#tellWanted();
    return Promise.resolve();
  }

  async down(names: readonly string[], drainMs: number): Promise<void> {
    const runs = this.#select(names);
    const closing = runs.map((run) => run.down(drainMs));
    this.#tellWanted();
    await Promise.all(closing);
    for (const run of runs)
      if (!run.wanted && run.orphan && this.#runs.get(run.tunnel.name) === run)
        this.#runs.delete(run.tunnel.name);
    this.#forgetUnused();
    this.#tellChange();
  }

  forget(names: readonly string[]): void {
    for (const run of this.#select(names)) {
      run.inFile(false);
      if (!run.wanted) this.#runs.delete(run.tunnel.name);
    }
    this.#tellChange();
  }

  settled(name: string, signal: AbortSignal, waiting: Waiting = 'up'): Promise<TunnelError | null> {
    const run = this.#runs.get(name);
    if (run !== undefined) return run.settled(signal, waiting);
    const hint = { command: 'status' };
    return Promise.resolve(new TunnelError('NO_SUCH_TUNNEL', `no tunnel is named ${name}`, { hint }));
  }

  status(names: readonly string[]): readonly TunnelStatus[] {
    return this.#select(names).map((run) => run.status());
  }

  flows(names: readonly string[], most: number): readonly TunnelFlow[] {
    let left = most;
    return this.#select(names).flatMap((run) => {
      const flows = left === 0 ? [] : run.flows(left);
      left -= flows.length;
      return flows;
    });
  }

  loginSteps(name: string): readonly DialStep[] | null {
    return this.#runs.get(name)?.loginSteps() ?? null;
  }

  examine(name: string): Examined | null {
    const run = this.#runs.get(name);
    if (run === undefined) return null;
    const { link } = run.linkUse;
    const attempt = link?.loginSteps() ?? null;
    return {
      tunnel: run.tunnel,
      session: link?.session ?? null,
      attempt,
      last: link?.lastLogin ?? null,
      environment: run.linkUse.environment(),
    };
  }

  attend(names: readonly string[], person: Person): Cancel {
    const attendance = { names: new Set(names), who: person };
    this.#attendances.add(attendance);
    const unhear = this.hear(names, person);
    this.#questions.offer();
    return () => {
      unhear();
      if (this.#attendances.delete(attendance)) this.#questions.abandon();
    };
  }

  hear(names: readonly string[], hearer: Hearer): Cancel {
    const hearing = { names: new Set(names), who: hearer };
    this.#hearings.add(hearing);
    const links = new Set(this.#select(names).map(({ linkUse }) => linkUse.link));
    for (const link of links) link?.repeatTalk(hearer);
    return () => this.#hearings.delete(hearing);
  }

  answer(questionId: string, answer: Answer, from?: Person): boolean {
    return this.#questions.answer(questionId, answer, from ?? null);
  }

  onChange(listener: () => void): Cancel {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  onState(listener: (change: StateChange) => void): Cancel {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  onWanted(listener: (names: readonly string[]) => void): Cancel {
    this.#wantedListeners.add(listener);
    return () => this.#wantedListeners.delete(listener);
  }

  onPorts(listener: (ports: Readonly<Record<string, number>>) => void): Cancel {
    this.#portListeners.add(listener);
    return () => this.#portListeners.delete(listener);
  }

  lookAround(reason: string): void {
    this.#parts.log('info', 'weather', `${reason}: links are looked at`);
    for (const link of this.#links.all()) link.lookAround();
  }

  recheck(hosts: readonly string[]): void {
    for (const link of this.#links.all()) {
      const { host, state } = link;
      const names = [host.name, host.hostname, formatAddress(host), formatLogin(host)];
      if (hosts.some((name) => names.includes(name))) link.recheck();
      else if (hosts.length > 0 || state.kind !== 'blocked') continue;
      // A refused credential is not offered again because something, somewhere, changed.
      else if (state.cause.code === 'AUTH_REFUSED') link.examine();
      else link.recheck();
    }
  }

  handing(): Handing {
    const runs = [...this.#runs.values()].toSorted((a, b) => a.linkUse.stamp - b.linkUse.stamp);
    return {
      tunnels: runs.map((run) => run.handing()).filter((each) => each !== null),
      listeners: runs.flatMap((run) => run.listening),
      attended: this.#links.attended(),
      typed: this.#parts.dialer.typed(),
    };
  }

  inherit({ attended, typed }: Pick<Handing, 'attended' | 'typed'>): void {
    this.#links.attend(attended);
    this.#parts.dialer.inherit(typed);
  }

  get needsPerson(): boolean {
    const { passwords, passphrases } = this.#parts.dialer.typed();
    return passwords.length + passphrases.length > 0 || this.#links.needsPerson;
  }

  async letGo(where: 'here' | 'server', names: readonly string[]): Promise<void> {
    await Promise.all(this.#select(names).map((run) => run.letGo(where)));
  }

  get connections(): number {
    return [...this.#runs.values()].reduce((sum, run) => sum + run.connections, 0);
  }

  async close(drainMs: number): Promise<void> {
    await Promise.all([...this.#runs.values()].map((run) => run.halt(drainMs)));
    await this.#links.atRest(restLimitMs);
  }

  async #apply(config: ResolvedConfig, options: ApplyOptions): Promise<readonly string[]> {
    const { prune } = options;
    const before = [...this.#runs.values()];
    const changes = diffTunnels(
      before.map(({ tunnel }) => tunnel),
      config.tunnels,
    );
    const sentences = this.#fresh ? [] : changes.map((change) => this.#sentence(change, options));
    this.#fresh = false;
    const next = new Map<string, TunnelRun>();
    const work: Promise<void>[] = [];
    for (const change of changes) {
      const run = this.#runOf(change);
      if (change.kind !== 'removed') {
        next.set(change.tunnel.name, run);
        run.inFile(true);
        if (change.kind === 'changed' || change.kind === 'renamed') work.push(run.reshape(change.tunnel));
      } else if (run.wanted && !prune) {
        next.set(change.name, run);
        run.inFile(false);
      } else work.push(run.down(0));
    }
    this.#runs = next;
    this.#followers = followersAmong([...next.values()]);
    this.#tellWanted();
    await Promise.all(work);
    this.#forgetUnused();
    this.#tellChange();
    return sentences.filter((sentence) => sentence !== null);
  }

  #runOf(change: Change): TunnelRun {
    const old =
      change.kind === 'removed' ? change.name : change.kind === 'renamed' ? change.from : change.tunnel.name;
    const run = this.#runs.get(old);
    if (run !== undefined) return run;
    if (change.kind !== 'added') throw new Error(`no tunnel ${old} to change`);
    return new TunnelRun(change.tunnel, this.#tunnelParts);
  }

  #sentence(change: Change, { prune, starts }: ApplyOptions): string | null {
    if (change.kind === 'added') return describeChange(change, starts?.(change.tunnel) ?? false, prune);
    const run = this.#runOf(change);
    if (change.kind === 'removed' && run.orphan && !prune) return null;
    if (change.kind === 'unchanged' && run.orphan) return `${change.tunnel.name}: is in the file again`;
    return describeChange(change, run.wanted, prune);
  }

  #select(names: readonly string[]): readonly TunnelRun[] {
    return names.map((name) => this.#runs.get(name)).filter((run) => run !== undefined);
  }

  #personsAt(name: string): readonly Person[] {
    return [...this.#attendances].filter(({ names }) => names.has(name)).map(({ who }) => who);
  }

  #hearersOf(tunnels: readonly string[]): readonly Hearer[] {
    const heard = [...this.#hearings].filter(({ names }) => tunnels.some((name) => names.has(name)));
    return heard.map(({ who }) => who);
  }

  /**
   * The end of a host's use, however it came: `down`, a tunnel pruned, a host that the file changed. Typed secrets live
   * no longer than somebody wants the host.
   */
  #forgetUnused(): void {
    const wanted = [...this.#runs.values()].filter((run) => run.wanted);
    this.#parts.dialer.forgetAllBut(wanted.flatMap(({ tunnel }) => tunnel.ways.flat()));
  }

  #portChosen(key: string, port: number): void {
    if (this.#ports[key] === port) return;
    this.#ports = { ...this.#ports, [key]: port };
    for (const listener of this.#portListeners) listener(this.#ports);
  }

  #changed(name: string): void {
    const state = this.#runs.get(name)?.state;
    if (state !== undefined && state !== this.#lastStates.get(name)) {
      this.#lastStates.set(name, state);
      for (const run of this.#followers.get(name) ?? []) run.refresh();
    }
    this.#tellChange();
  }

  #tellChange(): void {
    for (const listener of this.#changeListeners) listener();
  }

  #tellWanted(): void {
    const names = [...this.#runs.values()].filter(({ wanted }) => wanted).map(({ tunnel }) => tunnel.name);
    if (names.join() === this.#lastWanted) return;
    this.#lastWanted = names.join();
    for (const listener of this.#wantedListeners) listener(names);
  }
}

function followersAmong(runs: readonly TunnelRun[]): Map<string, readonly TunnelRun[]> {
  const followers = new Map<string, TunnelRun[]>();
  for (const run of runs)
    for (const name of run.tunnel.after) followers.set(name, [...(followers.get(name) ?? []), run]);
  return followers;
}
