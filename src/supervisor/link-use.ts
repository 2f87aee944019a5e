// The use that one tunnel makes of a link, and what the tunnel brings to it: people, environments, haste.
import type { Clock } from '../model/clock.ts';
import type { CallerEnvironment } from '../model/session.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { Person, UpRequest } from './engine.ts';
import { mergeEnvironments, noTerms } from './link-users.ts';
import type { Haste, LinkUser, StampedEnvironment, Terms } from './link-users.ts';
import type { Link } from './link.ts';
import { linkKey } from './links.ts';
import type { Links } from './links.ts';
import type { LinkSnapshot } from './status.ts';

export interface LinkUseParts {
  readonly clock: Clock;
  readonly links: Links;
  /** Who attends a tunnel. */
  readonly persons: (tunnel: string) => readonly Person[];
}

export class LinkUse {
  readonly #parts: LinkUseParts;
  /** As the config says it now. */
  readonly #tunnel: () => Tunnel;
  readonly #changed: () => void;
  readonly #user: LinkUser;
  #link: Link | null = null;
  #terms: Terms = noTerms;
  #environment: StampedEnvironment | null = null;
  #haste: Haste = 'none';
  #comebacksSeen = 0;

  constructor(
    parts: LinkUseParts,
    tunnel: () => Tunnel,
    { changed, suffered }: Pick<LinkUser, 'changed' | 'suffered'>,
  ) {
    this.#parts = parts;
    this.#tunnel = tunnel;
    this.#changed = changed;
    this.#user = {
      tunnels: () => [tunnel().name],
      policy: () => tunnel().reconnect,
      rotateMs: () => tunnel().rotateMs,
      persons: () => parts.persons(tunnel().name),
      haste: () => this.#haste,
      terms: () => this.#terms,
      environments: () => (this.#environment === null ? [] : [this.#environment]),
      changed,
      suffered,
      moved: () => this.move(true),
    };
  }

  get link(): Link | null {
    return this.#link;
  }

  /** Names the link the tunnel wants: equal keys share. */
  get key(): string {
    return linkKey(this.#tunnel().ways, this.#alone());
  }

  /** Of the newest command; 0 where none came. */
  get stamp(): number {
    return this.#environment?.stamp ?? 0;
  }

  snapshot(): LinkSnapshot | null {
    return this.#link?.snapshot() ?? null;
  }

  /** Takes what a command brought: its terms, and an environment that covers older ones and leaves the rest of them. */
  take(request: UpRequest, stamp: number): void {
    const { acceptNew, personPresent, environment } = request;
    this.#terms = { acceptNew, personPresent };
    const before = this.#environment;
    const all = before === null ? environment : mergeEnvironments([before, { stamp, environment }]);
    this.#environment = { stamp, environment: all };
  }

  /** The command is over, or served: what it granted ends. */
  endTerms(): void {
    this.#terms = noTerms;
  }

  /** The environments of the commands so far, as one. */
  environment(): CallerEnvironment {
    return mergeEnvironments(this.#environment === null ? [] : [this.#environment]);
  }

  forgetEnvironment(): void {
    this.#environment = null;
  }

  acquire(): void {
    this.move(false);
  }

  /** Moves to the current link of its kind. `drain`: connections that run over the old one go on. */
  move(drain: boolean): void {
    const old = this.#link;
    const link = this.#parts.links.acquire(this.#tunnel().ways, this.#alone(), this.#user);
    if (link === old) return;
    this.#link = link;
    this.#comebacksSeen = link.comebacks;
    old?.release(this.#user, drain);
    this.#changed();
  }

  leave(drain: boolean): void {
    const link = this.#link;
    this.#link = null;
    link?.release(this.#user, drain);
  }

  /** Prepares a fresh link for those who `restart`; everybody else follows when it is up. */
  renew(): void {
    this.#parts.links.renew(this.#tunnel().ways, this.#alone());
  }

  /** A command said `up`: ends a wait; a block only where the command may have ended its cause. */
  nudge({ personPresent, acceptNew }: UpRequest): void {
    const state = this.snapshot()?.state;
    const unknownKey = state?.kind === 'blocked' && state.cause.code === 'HOST_KEY_UNKNOWN';
    if (personPresent || (acceptNew && unknownKey)) this.#link?.answered();
    else if (state?.kind === 'blocked') this.#link?.examine();
    else this.#link?.kick();
  }

  /** A client waits: a late one, or one that found nothing answering at TCP level, has us try now. */
  knock(): void {
    const snapshot = this.snapshot();
    if (snapshot === null) return;
    const { hold } = this.#tunnel();
    const awayMs = this.#parts.clock.monotonic() - snapshot.awaySinceMs;
    const late = awayMs > (hold.kind === 'wait' ? hold.ms : 0);
    if (late || snapshot.failure?.error.facts.tcpLevel === true) this.#link?.tryNow();
  }

  hurry(haste: Haste): void {
    if (haste === this.#haste) return;
    this.#haste = haste;
    this.#link?.hurried(this.#user);
  }

  /** How often the link came back from a loss since this was last asked. */
  takeComebacks(): number {
    const now = this.#link?.comebacks ?? 0;
    const came = this.#link === null ? 0 : now - this.#comebacksSeen;
    this.#comebacksSeen = now;
    return came;
  }

  #alone(): string | null {
    const { share, name } = this.#tunnel();
    return share ? null : name;
  }
}
